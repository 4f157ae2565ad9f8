import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { assertBusy, assertDone } from '../e2e/assert.js';
import { until } from '../e2e/deadline.js';
import { SOURCE, TARGET, TestLab } from '../e2e/lab.js';
import type { LabOptions } from '../e2e/lab.js';
import type { VfioClient } from './vfio-client.js';
import { withClient } from './vfio-client.js';

const STATE = { ERROR: 0, STOP: 1, RUNNING: 2, STOP_COPY: 3, RESUMING: 4, RUNNING_P2P: 5, PRE_COPY: 6, PRE_COPY_P2P: 7 } as const;
const skip = existsSync('/dev/fuse') && process.getuid?.() === 0 ? false : 'needs root and /dev/fuse';
const sysfsdev = (uuid: string): string => `/sys/bus/mdev/devices/${uuid}`;
const inLab = (body: (client: VfioClient, lab: TestLab) => Promise<void>, settings: object = {}, options: LabOptions = {}) =>
  () => TestLab.with(options, (lab) => withClient(lab, (client) => body(client, lab), settings));
const card = { sysfsdev: sysfsdev(SOURCE), id: 'vf0', migrationEvents: true };

describe('VMM: vfio-pci', { skip, timeout: 80_000 }, () => {
  for (const iommufd of [false, true]) {
    const how = iommufd ? 'cdev and iommufd' : 'group and type1';
    it(`opens a device by ${how}, and saves what another one loads`, inLab(async (client, lab) => {
      await client.do('add', { ...card, iommufd });
      await client.do('add', { sysfsdev: sysfsdev(TARGET), id: 'vf1', iommufd });
      await client.do('reset');
      await client.do('start');
      assert.deepEqual(client.happened, ['RESUME', 'VFIO_MIGRATION running-p2p', 'VFIO_MIGRATION running']);
      assert.deepEqual(await client.do('dirtyTracking'), [true, iommufd]);
      assert.equal(await client.do('flags'), 7);
      await client.do('outb', 7, 0x5a);
      await client.do('log', 'start');
      assert.equal(await client.do('log', 'sync'), 0);
      assert.equal(await client.do('dataSize'), 60);
      await client.do('set', STATE.PRE_COPY, STATE.RUNNING);
      assert.equal(lab.state(SOURCE), 'PRE_COPY');
      assert.deepEqual(await client.do('precopyInfo'), [24, 0]);
      const head = await client.do('read', 4096);
      assert.equal(head.length, 48);
      await client.do('stop', 'finish-migrate');
      assert.deepEqual(client.happened, ['VFIO_MIGRATION pre-copy-p2p', 'VFIO_MIGRATION stop-copy', 'STOP']);
      const body = await client.do('read', 4096);
      assert.equal(await client.do('read', 4096), '');
      await client.do('set', STATE.STOP, STATE.ERROR);
      await client.do('closeData');
      await client.do('setOf', 'vf1', STATE.RESUMING);
      await client.do('write', 'vf1', head + body);
      await client.do('setOf', 'vf1', STATE.STOP);
      await client.do('closeData', 'vf1');
      await client.do('config', 'vf0', 'vf1');
      await client.do('log', 'stop');
      await client.do('unplug', 'vf0');
      assert.deepEqual(client.happened, ['DEVICE_DELETED /machine/peripheral/vf0']);
      await assert.rejects(client.do('state'), /no vf0/);
    }));
  }

  it('uses the log of the IOMMU where the device may not keep one', inLab(async (client) => {
    await client.do('add', { ...card, iommufd: true, deviceDirtyTracking: 'off' });
    assert.deepEqual([await client.do('dirtyTracking'), await client.do('blockers')], [[false, true], []]);
    for (const what of ['start', 'sync', 'sync', 'stop'] as const) await client.do('log', what);
    await client.do('unplug', 'vf0');
    // As QEMU, which does not count type1's log.
    await client.do('add', { ...card, deviceDirtyTracking: 'off' });
    const reason = `${SOURCE}: VFIO device doesn't support device and IOMMU dirty tracking`;
    assert.deepEqual(await client.do('blockers'), [reason]);
    for (const what of ['start', 'sync', 'stop'] as const) await client.do('log', what);
    await client.do('unplug', 'vf0');
    assert.deepEqual(await client.do('blockers'), []);
    await client.do('add', { ...card, deviceDirtyTracking: 'off', enableMigration: 'on' });
    assert.deepEqual([client.happened, await client.do('blockers')], [[`warning: ${reason}`], []]);
  }));

  it('says what QEMU says where a device can not be had', inLab(async (client) => {
    await assert.rejects(client.do('add', { sysfsdev: '' }), { message: 'No provided host device' });
    const missing = sysfsdev('83b8f4f2-509f-382f-3c1e-e6bfe0fa1009');
    await assert.rejects(client.do('add', { sysfsdev: missing }), {
      message: `vfio ${missing}: no such host device: No such file or directory`,
    });
    await client.do('add', card);
    await assert.rejects(client.do('add', { sysfsdev: sysfsdev(TARGET), id: 'vf0' }), { message: "Duplicate device ID 'vf0'" });
    const busy = /^Error: vfio .*: error bind device fd to iommufd: Device or resource busy$/;
    await assert.rejects(client.do('add', { ...card, id: 'vf1', iommufd: true }), busy);
  }));

  it('says that it has no slots', { skip }, () => TestLab.with({}, (lab) => withClient(lab, async (client) => {
    const text = /error getting device from group \d+: Too many open files \(no descriptor slots/;
    await assert.rejects(client.do('add', card), text);
  }, {}, ['--slots', '0'])));

  it('recovers from a transition that fails, and resets the device where there is no way back', inLab(async (client, lab) => {
    await client.do('add', card);
    await client.do('start');
    lab.knob(SOURCE, 'fail', 'PRE_COPY EBUSY 1');
    const failed = `${SOURCE}: Failed setting device state to PRE_COPY. `
      + 'Setting device in recover state RUNNING: Device or resource busy';
    await assert.rejects(client.do('set', STATE.PRE_COPY, STATE.RUNNING), { message: failed });
    assert.deepEqual(client.happened, ['VFIO_MIGRATION running']);
    lab.knob(SOURCE, 'fail', 'STOP EIO 1');
    await client.do('stop', 'paused');
    const error = `error: ${SOURCE}: Failed setting device state to STOP. `
      + 'Recover state is ERROR. Resetting device: Input/output error';
    assert.deepEqual(client.happened, ['VFIO_MIGRATION running-p2p', 'VFIO_MIGRATION running', error, 'STOP']);
    assert.equal(await client.do('state'), 'RUNNING');
  }));

  it('leaves PRE_COPY when it is told that the migration has failed', inLab(async (client, lab) => {
    await client.do('add', card);
    await client.do('start');
    await client.do('failed');
    assert.deepEqual(client.happened, []);
    await client.do('set', STATE.PRE_COPY, STATE.RUNNING);
    await client.do('closeData');
    await client.do('failed');
    assert.equal(lab.state(SOURCE), 'RUNNING');
  }));

  it('tells of transitions before they are made, also of one that fails', async () => {
    for (const [prepareEvents, expected] of [
      ['none', ['VFIO_MIGRATION pre-copy-p2p', 'VFIO_MIGRATION stop-copy']],
      ['merged', ['VFIO_MIGRATION pre-copy-p2p-prepare', 'VFIO_MIGRATION pre-copy-p2p', 'VFIO_MIGRATION stop-copy']],
      ['all', [
        'VFIO_MIGRATION_PREPARE pre-copy-p2p', 'VFIO_MIGRATION pre-copy-p2p',
        'VFIO_MIGRATION_PREPARE stop-copy', 'VFIO_MIGRATION stop-copy',
      ]],
    ] as const) {
      await inLab(async (client, lab) => {
        await client.do('add', card);
        await client.do('start');
        await client.do('set', STATE.PRE_COPY, STATE.RUNNING);
        await client.do('stop', 'finish-migrate');
        assert.deepEqual(client.happened, [...expected, 'STOP']);
        if (prepareEvents !== 'all') return;
        lab.knob(SOURCE, 'fail', 'STOP EIO 1');
        await assert.rejects(client.do('set', STATE.STOP, STATE.ERROR), /Failed setting device state to STOP/);
        assert.deepEqual(client.happened, ['VFIO_MIGRATION_PREPARE stop', 'VFIO_MIGRATION running']);
      }, { prepareEvents })();
    }
  });

  it('takes MSI where the guest switches it on, and INTx again after that or a reset', inLab(async (client, lab) => {
    const gpu = { sysfsdev: sysfsdev(SOURCE), id: 'vf0' };
    await client.do('add', gpu);
    await client.do('reset');
    await client.do('start');
    await client.do('interrupts');
    // A round of DMA every 20 ms, an interrupt after each (docs/gvt.md).
    const registers = Buffer.alloc(0x18);
    registers.writeBigUInt64LE(0x1000n, 0);
    registers.writeBigUInt64LE(16n, 8);
    registers.writeUInt32LE(20, 0x10);
    registers.writeUInt32LE(3, 0x14);
    let seen = 0;
    const poke = async (data: Buffer): Promise<void> => {
      await client.do('poke', 0x1ff000, data.toString('hex'));
      seen += client.happened.length;
    };
    const interrupts = (count: number): Promise<true> => until(20, `${count} interrupts`, async () => {
      await client.do('flags');
      seen += client.happened.length;
      return seen >= count ? true : undefined;
    });
    const wanted = (index: number): number =>
      lab.server.output.split(`VFIO_DEVICE_SET_IRQS index=${index} flags=36`).length - 1;
    const before = wanted(0);
    await client.do('msi', true);
    await poke(registers);
    // INTx would come once, and then not before the guest has seen to it.
    await interrupts(3);
    await poke(Buffer.alloc(0x18));
    await client.do('msi', false);
    seen = 0;
    await poke(registers);
    await interrupts(1);
    await poke(Buffer.alloc(0x18));
    assert.deepEqual([wanted(0), wanted(1)], [before + 1, 1]);

    await client.do('msi', true);
    await client.do('add', { sysfsdev: sysfsdev(TARGET), id: 'vf1' });
    await client.do('config', 'vf0', 'vf1');
    assert.deepEqual([await client.do('msiEnabled', 'vf1'), wanted(1)], [true, 3]);
    await client.do('reset');
    assert.deepEqual([await client.do('msiEnabled'), await client.do('msiEnabled', 'vf1')], [false, false]);
  }, {}, { type: 'i915-GVTg_V5_8', args: ['--driver', 'gvt', '--trace', 'vfio'] }));

  it('takes INTx, and unmasks it when the guest has seen to it', inLab(async (client) => {
    await client.do('add', card);
    await client.do('reset');
    await client.do('start');
    await client.do('interrupts');
    await client.do('outb', 1, 0x02);
    await client.do('wait');
    assert.deepEqual(client.happened, ['interrupt 1']);
    await client.do('inb', 5);
    await client.do('outb', 1, 0x02);
    await client.do('wait');
    assert.deepEqual(client.happened, ['interrupt 2']);
  }));

  it('refuses several devices that are not all capable of P2P', inLab(async (client, lab) => {
    lab.knob(TARGET, 'features', 'stop-copy');
    await client.do('add', card);
    const reason = 'Multiple VFIO devices migration is supported only if all of them support P2P migration';
    const second = { sysfsdev: sysfsdev(TARGET), id: 'vf1' };
    await assert.rejects(client.do('add', { ...second, enableMigration: 'on' }), { message: `vfio ${TARGET}: ${reason}` });
    await client.do('add', second);
    assert.deepEqual(await client.do('blockers'), [reason]);
    await client.do('unplug', 'vf1');
    assert.deepEqual(await client.do('blockers'), []);
  }));
});

describe('VMM: the blocker eventfd', { skip, timeout: 80_000 }, () => {
  const reason = `${SOURCE}: Migration is disabled for VFIO device`;

  it('adds and deletes a blocker as the attribute says', inLab(async (client, lab) => {
    await client.do('add', card);
    assertDone(lab.block(SOURCE, '1'));
    await client.do('wait');
    assert.deepEqual(client.happened, [`info: ${SOURCE}: migration_block is 1: migration is blocked`]);
    assert.deepEqual(await client.do('blockers'), [reason]);
    assert.equal(await client.do('enableMigration'), 'off');
    assertDone(lab.block(SOURCE, '0'));
    await client.do('wait');
    assert.deepEqual([await client.do('blockers'), await client.do('enableMigration')], [[], 'auto']);
  }));

  it('logs a blocker that is refused because a migration runs; the device stays blocked', inLab(async (client, lab) => {
    await client.do('add', card);
    await client.do('busy', true);
    assertDone(lab.block(SOURCE, '1'));
    await client.do('wait');
    assert.deepEqual(client.happened, [
      `warning: ${SOURCE}: migration_block is 1, but the blocker was refused with EBUSY: `
      + `disallowing migration blocker (migration/snapshot in progress) for: ${reason}`,
    ]);
    await client.do('busy', false);
    assert.deepEqual(await client.do('blockers'), []);
  }));

  it('is refused with --only-migratable', inLab(async (client, lab) => {
    await client.do('add', card);
    assertDone(lab.block(SOURCE, '1'));
    await client.do('wait');
    assert.match(client.happened.join(), /refused with EACCES: disallowing migration blocker \(--only-migratable\) for: /);
  }, { onlyMigratable: true }));

  it('finds a device that is blocked already; with enable-migration=on it is not added', inLab(async (client, lab) => {
    assertDone(lab.block(SOURCE, '1'));
    await assert.rejects(client.do('add', { ...card, enableMigration: 'on' }), { message: `vfio ${SOURCE}: ${reason}` });
    await client.do('add', card);
    assert.deepEqual(await client.do('blockers'), [reason]);
    await client.do('unplug', 'vf0');
    assert.deepEqual(await client.do('blockers'), []);
  }));
});

describe('VMM: the migration notice', { skip, timeout: 80_000 }, () => {
  it('under notify, a block is refused from the start to the end', inLab(async (client, lab) => {
    await client.do('add', card);
    await client.do('notice', true);
    assertBusy(lab.block(SOURCE, '1'));
    await client.do('notice', false);
    assertDone(lab.block(SOURCE, '1'));
    await client.do('notice', true);
  }, { notify: true }, { blocker: 'notify' }));

  it('under enforce, it is refused with EBUSY while blocked', inLab(async (client, lab) => {
    await client.do('add', card);
    assertDone(lab.block(SOURCE, '1'));
    await assert.rejects(client.do('notice', true), /EBUSY/);
  }, { notify: true }, { blocker: 'enforce' }));

  it('ends with the VMM that gave it', inLab(async (client, lab) => {
    await client.do('add', card);
    await client.do('notice', true);
    assertBusy(lab.block(SOURCE, '1'));
    client.kill();
    for (let tries = 0; lab.block(SOURCE, '1').status !== 0; tries++) assert.ok(tries < 200, 'the notice stayed');
  }, { notify: true }, { blocker: 'notify' }));
});

describe('VMM: the guest load', { skip, timeout: 80_000 }, () => {
  it('sees every byte once, also when the VM stops and goes on', inLab(async (client) => {
    await client.do('add', card);
    await client.do('load', 2000, 500);
    for (let round = 1; round <= 2; round++) {
      await client.do('start');
      for (;;) {
        const report = await client.do('report');
        if (report !== undefined && report.received >= 20 * round && report.pages >= 100 * round) break;
      }
      await client.do('stop', 'paused');
    }
    assert.equal((await client.do('report'))?.errors, 0);
    // A byte that comes from elsewhere is seen.
    await client.do('outb', 0, 255);
    await client.do('start');
    while ((await client.do('report'))?.errors === 0);
  }));
});
