/** Migrations that fail. */
import { until } from '../../e2e/deadline.js';
import { SOURCE, TARGET } from '../../e2e/lab.js';
import type { Run, Scenario } from './compare.js';
import { becomeActive, failBy, migrateWhole, refuseToLoad } from './steps.js';

const failing = (knob: string, text: string) => async (run: Run): Promise<void> => failBy(run, await run.pair(), SOURCE, knob, text);

/** The destination starts the machine, and its device can't. */
async function destinationFails(run: Run): Promise<void> {
  const pair = await run.pair();
  run.lab.knob(TARGET, 'fail', 'RUNNING EIO 1');
  await migrateWhole(pair);
  run.lab.knob(TARGET, 'fail', 'off');
}

export const FAILURE: readonly Scenario[] = [
  { title: 'PRE_COPY fails, and RUNNING is recovered', run: failing('fail', 'PRE_COPY EBUSY 1') },
  { title: 'PRE_COPY fails and so does the way back: a reset', run: failing('fail', 'PRE_COPY EIO 1 ERROR') },
  { title: 'PRE_COPY_P2P fails as the machine is stopped', run: failing('fail', 'PRE_COPY_P2P EIO 1') },
  { title: 'STOP_COPY fails as the machine is stopped', run: failing('fail', 'STOP_COPY EIO 1') },
  { title: 'RUNNING_P2P fails as the machine is stopped', features: 'stop-copy p2p', run: failing('fail', 'RUNNING_P2P EIO 1') },
  {
    title: 'STOP_COPY fails when the machine has stopped, and STOP is recovered', features: 'stop-copy p2p',
    run: failing('fail', 'STOP_COPY EIO 1'),
  },
  { title: 'STOP fails', features: 'stop-copy', run: failing('fail', 'STOP EIO 1') },
  { title: 'the device goes to ERROR', run: failing('fail', 'STOP_COPY EIO 1 ERROR') },
  { title: 'the stream fails', run: failing('stream_fail', '40 EIO') },
  { title: 'the stream fails, stop-copy only', features: 'stop-copy', run: failing('stream_fail', '40 EIO') },
  { title: 'the destination refuses to load', run: async (run) => refuseToLoad(run, await run.pair({ busy: true }), TARGET) },
  {
    title: 'device state by channels of its own, without multifd', run: async (run) => {
      const { source, target } = await run.pair({ properties: 'x-migration-multifd-transfer=on' });
      await source.migrate(target);
      await source.reached('failed');
      await source.running();
      // It may change at any time.
      await source.qmp.executeAny('qom-set', { path: 'card', property: 'x-migration-multifd-transfer', value: 'auto' });
      await source.migrate(target);
      await target.child.ended;
      await source.reached('failed');
      await source.running();
    },
  },
  { title: 'the device of the destination does not start', run: destinationFails },
  {
    title: 'nobody listens', run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      await source.migrate('unix:/nonexistent/socket');
      await source.reached('failed');
    },
  },
  {
    title: 'its user stops and continues the machine in PRE_COPY', run: async (run) => {
      const pair = await run.pair({ busy: true });
      const { source } = pair;
      await becomeActive(pair);
      await until(10, 'the device to be in PRE_COPY', () => (run.lab.state(SOURCE) === 'PRE_COPY' ? true : undefined));
      await source.qmp.execute('stop');
      await source.qmp.execute('cont');
      await source.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 0, 'downtime-limit': 2000 });
      await source.reached('failed');
      await source.running();
    },
  },
];
