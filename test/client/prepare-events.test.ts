/** What an event before a transition is good for: from it to the transition's own event is the time of the transition. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { QmpEvent, Vmm } from '../../src/index.js';
import { Bench, DEVICE, quickly, SOURCE, TARGET } from './pair.js';

/** How long the device takes for the transition, ms. */
const DELAY = 400;

const microseconds = ({ timestamp }: QmpEvent): number => timestamp.seconds * 1e6 + timestamp.microseconds;

describe('events before transitions', { timeout: 60_000 }, () => {
  for (const [which, name, state] of [
    ['merged', 'VFIO_MIGRATION', 'pre-copy-p2p-prepare'], ['all', 'VFIO_MIGRATION_PREPARE', 'pre-copy-p2p'],
  ] as const) {
    it(`${which}: ${name} ${state} comes a transition's time before PRE_COPY_P2P`, () => Bench.with({}, async (bench) => {
      const { source, target } = await bench.pair(['--prepare-events', which]);
      await bench.device(SOURCE).fault('delay', `PRE_COPY_P2P ${DELAY}`);
      await quickly(source);
      await source.qmp.execute('migrate', { uri: target.uri });
      await source.migrated();
      const at = (event: string, wanted: string): number => {
        const found = source.qmp.events.find((one) => one.event === event && one.data['device-state'] === wanted);
        assert.ok(found, `no ${event} ${wanted}`);
        return microseconds(found);
      };
      const gap = at('VFIO_MIGRATION', 'pre-copy-p2p') - at(name, state);
      assert.ok(gap >= DELAY * 1000, `${gap} us`);
    }));
  }

  it('all: one before every transition, also before one that fails and the one that recovers from it', () =>
    Bench.with({}, async (bench) => {
      const { source, target } = await bench.pair(['--prepare-events', 'all'], ['--prepare-events', 'all']);
      await bench.device(SOURCE).fault('fail', 'PRE_COPY EIO 1');
      await quickly(source);
      const began = source.qmp.events.length;
      await source.qmp.execute('migrate', { uri: target.uri });
      await source.qmp.status(['failed'], began);
      const told = (vmm: Vmm, after = 0): string[] => vmm.qmp.events.slice(after)
        .filter(({ event }) => event.startsWith('VFIO_MIGRATION'))
        .map(({ event, data }) => `${event === 'VFIO_MIGRATION' ? '' : 'before '}${String(data['device-state'])}`);
      assert.deepEqual(told(source, began), ['before pre-copy', 'before running', 'running']);

      await target.ended;
      await bench.recreate(TARGET);
      const second = await bench.vmm({ devices: [`${TARGET},${DEVICE}`], incoming: true, args: ['--prepare-events', 'all'] });
      const after = source.qmp.events.length;
      await source.qmp.execute('migrate', { uri: second.uri });
      await source.migrated(after);
      await source.qmp.event(({ event, data }) => event === 'VFIO_MIGRATION' && data['device-state'] === 'stop', { after });
      await second.qmp.status(['completed']);
      for (const [states, all] of [
        [['pre-copy', 'pre-copy-p2p', 'stop-copy', 'stop'], told(source, after)], [['resuming', 'running-p2p', 'running'], told(second)],
      ] as const) assert.deepEqual(all, states.flatMap((state) => [`before ${state}`, state]));
    }));
});
