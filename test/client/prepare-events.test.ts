/** What an event before a transition is good for: from it to the transition's own event is the time of the transition. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { QmpEvent } from '../../src/client/qmp/client.js';
import { Bench, quickly, SOURCE } from './pair.js';

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
});
