import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { FaultInjector } from '../../src/fault/faults.js';
import { faultDebugfsGroup } from '../../src/fault/knobs.js';
import { fakeRequest } from '../fakes/caller.js';
import { errnoOf, MigrationClient, STATE } from '../vfio/migration-client.js';

class FaultyCard extends MigrationClient {
  readonly faults = new FaultInjector();

  constructor() {
    super();
    this.machine.addHooks(this.faults);
    this.faults.attach(this.machine);
  }

  #attribute(name: string): NonNullable<ReturnType<typeof faultDebugfsGroup>['attributes'][number]> {
    const found = faultDebugfsGroup(this.faults).attributes.find((attribute) => attribute.name === name);
    if (found === undefined) throw new Error(`no knob ${name}`);
    return found;
  }
  /** echo TEXT > knob: the errno, or undefined. */
  echo(name: string, text: string): string | undefined {
    return errnoOf(() => this.#attribute(name).store?.(this.faults, Buffer.from(`${text}\n`), this.request));
  }
  cat(name: string): unknown {
    return this.#attribute(name).show?.(this.faults, this.request);
  }
}

/** Knob, its first content, what it takes and reads back, what it refuses. */
const KNOBS: readonly { name: string; initial: string; good: readonly string[]; bad: readonly string[] }[] = [
  {
    name: 'delay', initial: 'off', good: ['PRE_COPY_P2P 300', 'STOP 1\nRUNNING 2147483647', 'off'],
    bad: ['', 'PRE_COPY_P2P', 'PRE_COPY_P2P -1', 'PRE_COPY_P2P 1.5', 'PRE_COPY_P2P 2147483648', 'ERROR 1',
      'pre_copy 1', 'STOP 1 2', 'STOP 1\nx'],
  },
  {
    name: 'fail', initial: 'off', good: ['STOP_COPY EIO 2', 'STOP_COPY EBUSY 1 ERROR', 'off'],
    bad: ['', 'STOP_COPY', 'STOP_COPY EIO', 'STOP_COPY EFOO 1', 'STOP_COPY 5 1', 'STOP_COPY EIO x',
      'STOP_COPY EIO 1 STOP', 'ERROR EIO 1', 'STOP toString 1'],
  },
  {
    name: 'stream_fail', initial: 'off', good: ['30 EIO', '0 ENOSPC', 'off'],
    bad: ['', '30', 'EIO 30', '30 EIO 1', '-1 EIO', '1e3 EIO'],
  },
  { name: 'stream_cut', initial: 'off', good: ['40', '0', 'off'], bad: ['', 'x', '-1', '1 2', '1\n2', '0x10'] },
  {
    name: 'state_size', initial: '0', good: ['4294967296', '1048576', '0'],
    bad: ['', 'off', '4294967297', '1G', '-1', '99999999999999999999'],
  },
  { name: 'dirty_rate', initial: '0', good: ['1000000', '0'], bad: ['', 'off', 'fast', '-5'] },
  {
    name: 'features', initial: 'stop-copy p2p pre-copy',
    good: ['stop-copy', 'stop-copy p2p', 'stop-copy pre-copy', 'stop-copy p2p pre-copy'],
    bad: ['', 'off', 'p2p', 'stop-copy postcopy'],
  },
];

describe('knobs', () => {
  for (const { name, initial, good, bad } of KNOBS) {
    it(`${name} reads back as written`, () => {
      const card = new FaultyCard();
      assert.equal(card.cat(name), `${initial}\n`);
      for (const text of good) {
        card.echo(name, 'off');
        assert.equal(card.echo(name, text), undefined, text);
        assert.equal(card.cat(name), `${text}\n`);
      }
    });
    it(`${name} rejects bad input with EINVAL and keeps its content`, () => {
      const card = new FaultyCard();
      const [kept = ''] = good;
      card.echo(name, kept);
      for (const text of bad) {
        assert.equal(card.echo(name, text), 'EINVAL', JSON.stringify(text));
        assert.equal(card.cat(name), `${kept}\n`);
      }
    });
  }

  it('lines of several states add up, a zero takes one away', () => {
    const card = new FaultyCard();
    card.echo('delay', 'STOP 1');
    card.echo('delay', 'PRE_COPY 2');
    assert.equal(card.cat('delay'), 'STOP 1\nPRE_COPY 2\n');
    card.echo('delay', 'STOP 0');
    assert.equal(card.cat('delay'), 'PRE_COPY 2\n');
  });

  it('features rejects to lose the present state with EBUSY', () => {
    const card = new FaultyCard();
    card.reach('PRE_COPY');
    assert.equal(card.echo('features', 'stop-copy'), 'EBUSY');
  });
});

describe('delay', () => {
  it('waits before the walk, and the device stays where it was meanwhile', async () => {
    const card = new FaultyCard();
    card.echo('delay', 'RUNNING_P2P 5\nSTOP 5');
    const done = card.setWaiting(STATE.STOP);
    assert.equal(card.stateName, 'RUNNING');
    await done;
    assert.equal(card.stateName, 'STOP');
  });

  it('interrupted, throws EINTR and leaves everything as it was', async () => {
    const card = new FaultyCard();
    card.echo('delay', 'STOP_COPY 2000000000');
    const request = fakeRequest();
    const done = card.setWaiting(STATE.STOP_COPY, request);
    request.interrupt();
    await assert.rejects(done, (error) => isErrno(error, 'EINTR'));
    assert.equal(card.stateName, 'RUNNING');
    card.set(STATE.PRE_COPY);
  });

  it('holds up other requests for a state, which then go one after the other', async () => {
    const card = new FaultyCard();
    card.echo('delay', 'STOP 5');
    const [first, second] = [card.setWaiting(STATE.STOP), card.setWaiting(STATE.RUNNING)];
    await first;
    await second;
    assert.equal(card.stateName, 'RUNNING');
  });

  it('does not hold up the interruption of a request that waits its turn', async () => {
    const card = new FaultyCard();
    card.echo('delay', 'STOP 2000000000');
    const [one, two] = [fakeRequest(), fakeRequest()];
    const [first, second] = [card.setWaiting(STATE.STOP, one), card.setWaiting(STATE.RUNNING_P2P, two)];
    two.interrupt();
    await assert.rejects(second, (error) => isErrno(error, 'EINTR'));
    one.interrupt();
    await assert.rejects(first, (error) => isErrno(error, 'EINTR'));
    assert.equal(card.stateName, 'RUNNING');
  });

  it('ends at a reset in RUNNING, and the request goes on from there', async () => {
    const card = new FaultyCard();
    card.reach('PRE_COPY');
    card.echo('delay', 'STOP_COPY 5');
    const done = card.setWaiting(STATE.STOP_COPY);
    card.machine.reset();
    assert.equal(card.stateName, 'RUNNING');
    assert.notEqual(await done, undefined, 'a new data file');
    assert.equal(card.drain().length, 60);
  });
});

describe('fail', () => {
  it('fails the next n steps into a state, also on the way to another', () => {
    const card = new FaultyCard();
    card.echo('fail', 'STOP EIO 2');
    assert.equal(errnoOf(() => card.set(STATE.STOP)), 'EIO');
    assert.equal(card.stateName, 'RUNNING_P2P');
    assert.equal(card.cat('fail'), 'STOP EIO 1\n');
    assert.equal(errnoOf(() => card.set(STATE.STOP_COPY)), 'EIO');
    assert.equal(card.cat('fail'), 'off\n');
    card.set(STATE.STOP_COPY);
  });

  it('with ERROR sends the device there, data files end, and only a reset leads out', () => {
    const card = new FaultyCard();
    card.reach('PRE_COPY');
    card.echo('fail', 'STOP_COPY EIO 1 ERROR');
    assert.equal(errnoOf(() => card.set(STATE.STOP_COPY)), 'EIO');
    assert.equal(card.stateName, 'ERROR');
    assert.equal(errnoOf(() => card.read()), 'ENODEV');
    for (const state of Object.values(STATE)) assert.equal(errnoOf(() => card.set(state)), 'EINVAL');
    card.machine.reset();
    assert.equal(card.stateName, 'RUNNING');
    card.set(STATE.STOP_COPY);
  });

  it('of STOP out of RESUMING keeps what was written', () => {
    const card = new FaultyCard();
    const stream = card.saveAll();
    card.reach('RESUMING');
    card.write(stream);
    card.echo('fail', 'STOP ENOMEM 1');
    assert.equal(errnoOf(() => card.set(STATE.STOP)), 'ENOMEM');
    assert.equal(card.stateName, 'RESUMING');
    card.set(STATE.STOP);
  });
});

describe('stream_fail and stream_cut', () => {
  it('stop a read before the byte, then fail with the errno until cleared', () => {
    const card = new FaultyCard();
    card.echo('stream_fail', '30 EIO');
    card.reach('STOP_COPY');
    assert.equal(card.read().length, 30);
    assert.equal(errnoOf(() => card.read()), 'EIO');
    assert.equal(errnoOf(() => card.read()), 'EIO');
    card.echo('stream_fail', 'off');
    assert.equal(card.read().length, 30);
  });

  it('fail a write at the byte', () => {
    const card = new FaultyCard();
    const stream = card.saveAll();
    card.echo('stream_fail', '30 ENOSPC');
    card.reach('RESUMING');
    assert.equal(card.write(stream), 30);
    assert.equal(errnoOf(() => card.write(stream.subarray(30))), 'ENOSPC');
  });

  it('end a saving stream early', () => {
    const card = new FaultyCard();
    card.echo('stream_cut', '40');
    card.reach('STOP_COPY');
    assert.equal(card.drain().length, 40);
  });

  it('lose the rest of a resuming stream, so that it does not load', () => {
    const card = new FaultyCard();
    const stream = card.saveAll();
    card.echo('stream_cut', '40');
    card.reach('RESUMING');
    assert.equal(card.write(stream), 40);
    assert.equal(card.write(stream.subarray(40)), 20);
    assert.equal(errnoOf(() => card.set(STATE.STOP)), 'EINVAL');
  });
});

describe('state_size', () => {
  it('shows in MIG_DATA_SIZE and moves to another card', () => {
    const [source, target] = [new FaultyCard(), new FaultyCard()];
    source.echo('state_size', '3000000');
    assert.equal(source.machine.dataSize(), 3000060n);
    source.reach('STOP_COPY');
    target.reach('RESUMING');
    for (let data = source.read(1 << 20); data.length > 0; data = source.read(1 << 20)) target.write(data);
    target.set(STATE.STOP);
  });
});
