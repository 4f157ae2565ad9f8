/** A VMM that is killed in a migration: what its devices' drivers make of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BLOCKER_POLICY_NAMES } from '../../src/blocker/policy.js';
import { Bench, quickly, SOURCE } from './pair.js';

/** Where it is held, and the states of both devices then. */
const MOMENTS = [['iterate', 'PRE_COPY'], ['commit', 'STOP_COPY']] as const;

describe('a source that is killed in a migration', { timeout: 100_000 }, () => {
  for (const blocker of BLOCKER_POLICY_NAMES) {
    for (const [step, state] of MOMENTS) {
      const stuck = blocker === 'observe';
      it(`in ${state} leaves ${stuck ? 'EBUSY for ever' : 'devices that can be blocked'} under ${blocker}`, () => Bench.with(
        { blocker }, async (bench) => {
        const { source, target } = await bench.pair(['--notify', '--break', step]);
        await quickly(source);
        await source.qmp.execute('migrate', { uri: target.uri });
        await source.held(step);
        assert.equal(bench.source.migrationState, state);
        assert.throws(() => bench.source.block(), { code: 'EBUSY' });
        await source.kill();
        assert.equal(await target.ended, 1);
        await bench.lab.settled();
        assert.deepEqual([bench.source.migrationState, bench.target.migrationState], [state, 'RESUMING']);
        assert.deepEqual([bench.source.migrationRunning, bench.target.migrationRunning], [stuck, false]);
        if (stuck) assert.throws(() => bench.source.block(), { code: 'EBUSY' });
        else bench.source.block();
        bench.target.block();
        // The next VMM has a device as new, and under `observe` one that still can't be blocked.
        const next = await bench.vmm({ devices: [`${SOURCE},id=vf0`] });
        assert.equal(bench.source.migrationState, 'RUNNING');
        assert.equal(bench.source.migrationRunning, stuck);
        assert.equal(await next.end(), 0);
      }));
    }
  }
});
