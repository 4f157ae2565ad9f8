import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blockerDebugfsGroup, blockerGroup, MigrationBlocker } from '../../src/blocker/blocker.js';
import { kstrtobool } from '../../src/blocker/kstrtobool.js';
import { BLOCKER_POLICY_NAMES } from '../../src/blocker/policy.js';
import type { BlockerPolicyName } from '../../src/blocker/policy.js';
import type { AttributeGroup } from '../../src/sysfs/group.js';
import { errnoOf, MigrationClient, STATE } from '../vfio/migration-client.js';

/** A card with a blocker; `signals` counts what its eventfd was told. */
class BlockedCard extends MigrationClient {
  readonly blocker: MigrationBlocker;
  signals = 0;

  constructor(policy?: BlockerPolicyName, flags?: number) {
    super(1, flags === undefined ? {} : { flags });
    this.blocker = new MigrationBlocker({ policy, signal: () => void this.signals++ });
    this.machine.addHooks(this.blocker);
  }

  store(group: AttributeGroup, text: string): string | undefined {
    const [attribute] = group.attributes;
    return errnoOf(() => attribute?.store?.(group.owner, Buffer.from(text), this.request));
  }
  show(group: AttributeGroup): unknown {
    return group.attributes[0]?.show?.(group.owner, this.request);
  }
  /** echo VALUE > migration_block: the errno, or undefined. */
  echo(value: string): string | undefined {
    return this.store(blockerGroup(this.blocker), `${value}\n`);
  }
  /** Its VMM has died: as drivers do at the last close. */
  die(): void {
    this.blocker.closed();
    this.machine.close();
  }
  /** A whole outgoing migration of a device with all features, as QEMU does it. */
  migrate(): void {
    this.machine.dataSize();
    this.set(STATE.PRE_COPY);
    this.set(STATE.PRE_COPY_P2P);
    this.set(STATE.STOP_COPY);
    this.drain();
    this.set(STATE.STOP);
  }
}

describe('kstrtobool()', () => {
  const accepted: readonly (readonly [string, boolean])[] = [
    ...['1', 'y', 'Y', 't', 'T', 'yes\n', '1\n', '10', 'true', 'on', 'On', 'oN', 'ON\n', 'one']
      .map((text) => [text, true] as const),
    ...['0', 'n', 'N', 'f', 'F', 'no\n', '0\n', '01', 'false', 'off', 'Of', 'oFF\n'].map((text) => [text, false] as const),
  ];
  for (const [text, value] of accepted) {
    it(`takes ${JSON.stringify(text)} as ${value}`, () => assert.equal(kstrtobool(Buffer.from(text)), value));
  }
  for (const text of ['', '\n', ' 1', '2', '-1', 'o', 'o\n', 'ox', 'enable', 'disable', '\0', '\u00ff']) {
    it(`rejects ${JSON.stringify(text)} with EINVAL`, () => {
      assert.equal(errnoOf(() => kstrtobool(Buffer.from(text, 'latin1'))), 'EINVAL');
    });
  }
});

describe('migration_block', () => {
  it('signals once per change and not for the value it has', () => {
    const card = new BlockedCard();
    const steps = [['0', 0], ['1', 1], ['y', 1], ['on', 1], ['0', 2], ['off', 2], ['1', 3]] as const;
    for (const [value, signals] of steps) {
      assert.equal(card.echo(value), undefined);
      assert.equal(card.signals, signals, value);
    }
    assert.equal(card.show(blockerGroup(card.blocker)), '1\n');
  });

  it('rejects nonsense with EINVAL and keeps its value', () => {
    const card = new BlockedCard();
    assert.equal(card.echo('maybe'), 'EINVAL');
    assert.equal(card.show(blockerGroup(card.blocker)), '0\n');
    assert.equal(card.signals, 0);
  });

  it('signals after the value has changed', () => {
    const seen: boolean[] = [];
    const blocker = new MigrationBlocker({ signal: () => void seen.push(blocker.blocked) });
    blocker.set(true);
    blocker.set(false);
    assert.deepEqual(seen, [true, false]);
  });
});

describe('track', () => {
  it('rejects a block with EBUSY in PRE_COPY, PRE_COPY_P2P, STOP_COPY and RESUMING, and in no other state', () => {
    const card = new BlockedCard('track');
    for (const name of ['RUNNING', 'RUNNING_P2P', 'STOP', 'STOP_COPY', 'RESUMING', 'PRE_COPY', 'PRE_COPY_P2P']) {
      card.reach(name);
      const running = ['PRE_COPY', 'PRE_COPY_P2P', 'STOP_COPY', 'RESUMING'].includes(name);
      assert.equal(card.echo('1'), running ? 'EBUSY' : undefined, name);
      assert.equal(card.echo('0'), undefined);
    }
  });

  it('takes the value it has, and an un-block, during a migration', () => {
    const card = new BlockedCard('track');
    card.echo('1');
    card.reach('PRE_COPY');
    assert.equal(card.echo('1'), undefined);
    assert.equal(card.echo('0'), undefined);
    assert.equal(card.signals, 2);
    assert.equal(card.echo('1'), 'EBUSY');
    assert.equal(card.signals, 2);
  });

  it('lets a blocked device migrate: the block only told the VMM', () => {
    const card = new BlockedCard('track');
    card.echo('1');
    card.migrate();
    assert.equal(card.stateName, 'STOP');
  });

  it('ends with a reset, and with a return to RUNNING from any state', () => {
    const card = new BlockedCard('track');
    card.reach('PRE_COPY');
    card.machine.reset();
    assert.equal(card.echo('1'), undefined);
    card.echo('0');
    card.reach('STOP_COPY');
    card.set(STATE.RUNNING);
    assert.equal(card.echo('1'), undefined);
  });

  it('learns late of the migration of a device that has STOP_COPY only', () => {
    const card = new BlockedCard('track', 1);
    card.machine.dataSize();
    assert.equal(card.echo('1'), undefined, 'the VMM has begun to migrate');
    card.echo('0');
    card.set(STATE.STOP_COPY);
    assert.equal(card.echo('1'), 'EBUSY');
  });
});

describe('observe, and its flaws', () => {
  it('rejects a block from MIG_DATA_SIZE until STOP_COPY to STOP with EBUSY', () => {
    const card = new BlockedCard('observe');
    assert.equal(card.echo('1'), undefined);
    card.echo('0');
    card.machine.dataSize();
    for (const state of [STATE.PRE_COPY, STATE.PRE_COPY_P2P, STATE.STOP_COPY]) {
      card.set(state);
      assert.equal(card.echo('1'), 'EBUSY');
    }
    card.set(STATE.STOP);
    assert.equal(card.echo('1'), undefined);
  });

  it('flaw 1: a migration cancelled after MIG_DATA_SIZE leaves EBUSY for ever', () => {
    const card = new BlockedCard('observe', 1);
    card.machine.dataSize();
    assert.equal(card.echo('1'), 'EBUSY');
    card.machine.close();
    card.machine.reset();
    assert.equal(card.echo('1'), 'EBUSY');
    const tracked = new BlockedCard('track', 1);
    tracked.machine.dataSize();
    assert.equal(tracked.echo('1'), undefined, 'track is not stuck');
  });

  it('flaw 2: a migration that fails after STOP_COPY goes to RUNNING at once and leaves EBUSY for ever', () => {
    const card = new BlockedCard('observe');
    card.machine.dataSize();
    card.set(STATE.STOP_COPY);
    card.set(STATE.RUNNING);
    assert.equal(card.echo('1'), 'EBUSY');
  });

  it('flaw 3: anyone who asks for the size makes it believe in a migration', () => {
    const card = new BlockedCard('observe');
    card.machine.dataSize();
    assert.equal(card.stateName, 'RUNNING');
    assert.equal(card.echo('1'), 'EBUSY');
  });

  it('flaw 4: the destination never asks for the size, so a block during RESUMING succeeds', () => {
    const card = new BlockedCard('observe');
    card.reach('RESUMING');
    assert.equal(card.echo('1'), undefined);
    const tracked = new BlockedCard('track');
    tracked.reach('RESUMING');
    assert.equal(tracked.echo('1'), 'EBUSY');
  });

  it('flaws 5 and 6: a block before MIG_DATA_SIZE succeeds and the device migrates all the same', () => {
    const card = new BlockedCard('observe');
    assert.equal(card.echo('1'), undefined);
    assert.equal(card.signals, 1);
    card.migrate();
    assert.equal(card.stateName, 'STOP');
    assert.equal(card.blocker.blocked, true);
  });
});

describe('enforce', () => {
  it('rejects PRE_COPY, PRE_COPY_P2P and STOP_COPY with EBUSY while blocked, and the device stays where it was', () => {
    for (const from of ['RUNNING', 'RUNNING_P2P', 'STOP']) {
      for (const to of [STATE.PRE_COPY, STATE.PRE_COPY_P2P, STATE.STOP_COPY]) {
        const card = new BlockedCard('enforce');
        card.reach(from);
        card.echo('1');
        assert.equal(errnoOf(() => card.set(to)), 'EBUSY');
        assert.equal(card.stateName, from);
      }
    }
  });

  it('lets a blocked device stop, run and resume', () => {
    const card = new BlockedCard('enforce');
    card.echo('1');
    for (const state of [STATE.STOP, STATE.RUNNING_P2P, STATE.RUNNING, STATE.RESUMING]) card.set(state);
  });

  it('closes flaws 5 and 6: the migration fails instead of the block', () => {
    const card = new BlockedCard('enforce');
    card.machine.dataSize();
    assert.equal(card.echo('1'), undefined);
    assert.equal(errnoOf(() => card.migrate()), 'EBUSY');
    assert.equal(card.stateName, 'RUNNING');
    card.echo('0');
    card.migrate();
  });
});

describe('notify', () => {
  it('goes by the notices alone, whatever the device does', () => {
    const card = new BlockedCard('notify');
    card.blocker.noticeStart();
    assert.equal(card.echo('1'), 'EBUSY');
    card.migrate();
    assert.equal(card.echo('1'), 'EBUSY');
    card.blocker.noticeEnd();
    assert.equal(card.echo('1'), undefined);
    card.machine.reset();
    card.migrate();
    assert.equal(card.echo('0'), undefined);
  });

  it('takes a notice while blocked: the VMM may be too late with its blocker', () => {
    for (const policy of BLOCKER_POLICY_NAMES.filter((name) => name !== 'enforce')) {
      const card = new BlockedCard(policy);
      card.echo('1');
      card.blocker.noticeStart();
      assert.equal(card.blocker.noticed, true, policy);
    }
  });

  it('finds a notice that was given before it was put in force', () => {
    const card = new BlockedCard();
    card.blocker.noticeStart();
    assert.equal(card.blocker.migrationRunning, false);
    card.blocker.setPolicy('notify');
    assert.equal(card.blocker.migrationRunning, true);
  });

  it('enforce refuses a notice with EBUSY while blocked, and goes by one that it took', () => {
    const card = new BlockedCard('enforce');
    card.echo('1');
    assert.equal(errnoOf(() => card.blocker.noticeStart()), 'EBUSY');
    card.echo('0');
    card.blocker.noticeStart();
    assert.equal(card.echo('1'), 'EBUSY');
    card.blocker.noticeEnd();
    assert.equal(card.echo('1'), undefined);
  });
});

describe('a device whose VMM has died', () => {
  for (const policy of BLOCKER_POLICY_NAMES) {
    for (const name of ['PRE_COPY', 'PRE_COPY_P2P', 'STOP_COPY', 'RESUMING']) {
      const saves = name !== 'RESUMING';
      const stuck = policy === 'observe' && saves;
      it(`in ${name} takes a block under ${policy}${stuck ? ' no more' : ''}, and stays as it is`, () => {
        const card = new BlockedCard(policy);
        if (saves) {
          card.blocker.noticeStart();
          card.machine.dataSize();
        }
        card.reach(name);
        const knows = policy === 'track' || policy === 'enforce' || saves;
        assert.equal(card.echo('1'), knows ? 'EBUSY' : undefined);
        card.echo('0');
        card.die();
        assert.equal(card.stateName, name);
        assert.equal(card.echo('1'), stuck ? 'EBUSY' : undefined);
        card.store(blockerDebugfsGroup(card.blocker), policy);
        assert.equal(card.blocker.migrationRunning, false, 'a policy that is put in force now does not see one either');
      });
    }
  }

  it('migrates for the next one as soon as that changes its state', () => {
    const card = new BlockedCard('track');
    card.reach('PRE_COPY');
    card.die();
    assert.equal(card.blocker.migrationRunning, false);
    card.set(STATE.PRE_COPY_P2P);
    assert.equal(card.echo('1'), 'EBUSY');
    card.die();
    card.machine.reset();
    card.reach('RESUMING');
    assert.equal(card.echo('1'), 'EBUSY');
  });
});

describe('the policy file', () => {
  it('reads and takes every policy; track is the default', () => {
    const card = new BlockedCard();
    const group = blockerDebugfsGroup(card.blocker);
    assert.equal(card.show(group), 'track\n');
    for (const name of BLOCKER_POLICY_NAMES) {
      assert.equal(card.store(group, `${name}\n`), undefined);
      assert.equal(card.show(group), `${name}\n`);
    }
  });

  it('rejects anything else with EINVAL', () => {
    const card = new BlockedCard();
    for (const text of ['', '\n', 'Track', 'track ', 'notice', 'constructor', 'track\n\n']) {
      assert.equal(card.store(blockerDebugfsGroup(card.blocker), text), 'EINVAL', text);
    }
    assert.equal(card.blocker.policy, 'track');
  });

  it('takes effect during a migration by the state that the device is in; observe begins anew', () => {
    const card = new BlockedCard('observe');
    card.machine.dataSize();
    card.set(STATE.PRE_COPY);
    const group = blockerDebugfsGroup(card.blocker);
    card.store(group, 'enforce');
    assert.equal(card.echo('1'), 'EBUSY');
    card.store(group, 'observe');
    assert.equal(card.echo('1'), undefined);
    card.store(group, 'enforce');
    assert.equal(errnoOf(() => card.set(STATE.STOP_COPY)), 'EBUSY');
    assert.equal(card.stateName, 'PRE_COPY');
  });
});
