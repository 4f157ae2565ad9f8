/** What else moves a device from state to state, and migrations of more than one device and machine. */
import { SOURCE, TARGET } from '../e2e/lab.js';
import { assertDone } from '../e2e/assert.js';
import { sh } from '../e2e/child.js';
import { until } from '../e2e/deadline.js';
import { recreate } from '../e2e/scenario.js';
import { compareScenarios } from './compare/compare.js';

const SECOND = { [SOURCE]: '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003', [TARGET]: '83b8f4f2-509f-382f-3c1e-e6bfe0fa1004' };

compareScenarios('without failures', [
  {
    title: 'stop and cont without a migration', run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      for (const command of ['stop', 'cont', 'stop', 'cont'] as const) await source.qmp.execute(command);
    },
  },
  {
    title: 'a reset', run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      await source.qmp.execute('system_reset');
      await source.qmp.event(({ event }) => event === 'RESET', { what: 'RESET' });
    },
  },
  {
    title: 'two devices', run: async (run) => {
      const types = `${run.lab.dir}/sys/class/mdev_bus/mtty/mdev_supported_types`;
      for (const uuid of Object.values(SECOND)) assertDone(sh(`echo ${uuid} > ${types}/mtty-1/create`));
      const [source, target] = await Promise.all([
        run.start(SOURCE, { also: SECOND[SOURCE] }), run.start(TARGET, { also: SECOND[TARGET], incoming: true }),
      ]);
      await source.running();
      await source.migrate(target);
      await source.reached('completed');
      await target.running();
      await source.quit();
      await target.quit();
      for (const uuid of Object.values(SECOND)) assertDone(sh(`echo 1 > ${run.lab.path(uuid, 'remove')}`));
    },
  },
  {
    title: 'a stopped machine is migrated', run: async (run) => {
      const { source, target } = await run.pair();
      await source.qmp.execute('stop');
      await source.migrate(target);
      await source.reached('completed');
      await until(15, 'the target to have it', async () => {
        const { status } = await target.qmp.execute('query-status');
        return status === 'paused' ? true : undefined;
      });
    },
  },
  {
    title: 'there and back', run: async (run) => {
      const { source, target } = await run.pair();
      await source.migrate(target);
      await source.reached('completed');
      await target.running();
      await source.quit();
      recreate(run.lab, SOURCE);
      const home = await run.start(SOURCE, { incoming: true });
      await target.migrate(home);
      await target.reached('completed');
      await home.running();
    },
  },
]);
