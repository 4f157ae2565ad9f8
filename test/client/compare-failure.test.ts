/** Migrations that fail. */
import { SOURCE, TARGET } from '../e2e/lab.js';
import { compareScenarios } from './compare/compare.js';
import type { Run } from './compare/compare.js';
import { slowly } from './compare/machine.js';

/** The migration fails and the machine runs on. */
async function failing(run: Run, knob: string, text: string): Promise<void> {
  const { source, target } = await run.pair();
  run.lab.knob(SOURCE, knob, text);
  await source.migrate(target);
  await source.reached('failed');
  await source.running();
  run.lab.knob(SOURCE, knob, 'off');
}

compareScenarios('failures', [
  { title: 'PRE_COPY fails', run: (run) => failing(run, 'fail', 'PRE_COPY EBUSY 1') },
  { title: 'STOP_COPY fails as the machine is stopped', run: (run) => failing(run, 'fail', 'STOP_COPY EIO 1') },
  { title: 'the device goes to ERROR', run: (run) => failing(run, 'fail', 'STOP_COPY EIO 1 ERROR') },
  { title: 'the stream fails', run: (run) => failing(run, 'stream_fail', '40 EIO') },
  {
    title: 'the destination refuses to load', run: async (run) => {
      const { source, target } = await run.pair({ busy: true });
      run.lab.knob(TARGET, 'fail', 'RESUMING EIO 1');
      await slowly(source);
      await source.migrate(target);
      await target.child.ended;
      run.lab.knob(TARGET, 'fail', 'off');
      await source.reached('failed');
      await source.running();
    },
  },
]);

