/** The suite of test/e2e on QEMU 11, and what only that QEMU does. Opt-in: scripts/test --qemu-next. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withQemu11 } from './qemu.js';

await withQemu11(async () => {
  const [{ defineSuite }, { SOURCE, TARGET, TestLab }] = await Promise.all([import('../e2e/suite.js'), import('../e2e/lab.js')]);
  defineSuite('QEMU 11 by group and type1', { via: 'group' });
  defineSuite('QEMU 11 by cdev and iommufd', { via: 'cdev' });

  describe('QEMU 11', () => {
    it('says pre-copy-p2p-prepare before a PRE_COPY_P2P that takes 300 ms, and pre-copy-p2p after it', () =>
      TestLab.with({}, async (lab) => {
        const source = await lab.vm({ uuid: SOURCE, via: 'group' });
        const target = await lab.vm({ uuid: TARGET, via: 'group', incoming: true });
        lab.knob(SOURCE, 'delay', 'PRE_COPY_P2P 300');
        await source.startMigration(target);
        const is = (state: string) => ({ event, data }: { event: string; data: Readonly<Record<string, unknown>> }): boolean =>
          event === 'VFIO_MIGRATION' && data['device-state'] === state;
        const prepare = await source.qmp.event(is('pre-copy-p2p-prepare'));
        const done = await source.qmp.event(is('pre-copy-p2p'));
        const time = ({ timestamp }: typeof done): number => timestamp.seconds * 1000 + timestamp.microseconds / 1000;
        assert.ok(source.qmp.events.indexOf(prepare) < source.qmp.events.indexOf(done));
        assert.ok(time(done) - time(prepare) >= 299, `${time(done) - time(prepare)} ms`);
        await source.reached('completed');
      }));
  });
});
