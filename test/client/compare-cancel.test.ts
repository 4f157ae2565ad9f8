/** Migrations that are cancelled, and one that finds nobody. */
import { SOURCE } from '../e2e/lab.js';
import { until } from '../e2e/deadline.js';
import { compareScenarios } from './compare/compare.js';
import { slowly } from './compare/machine.js';

const pause = { capabilities: [{ capability: 'pause-before-switchover', state: true }] };

compareScenarios('cancelled', [
  {
    title: 'cancelled while active, with PRE_COPY', run: async (run) => {
      const { source, target } = await run.pair({ busy: true });
      await slowly(source);
      await source.migrate(target);
      await until(15, 'the device to be in PRE_COPY', () => (run.lab.state(SOURCE) === 'PRE_COPY' ? true : undefined));
      await source.reached('active');
      await source.qmp.execute('migrate_cancel');
      await source.reached('cancelled');
    },
  },
  {
    title: 'cancelled while active, with STOP_COPY only', features: 'stop-copy', run: async (run) => {
      const { source, target } = await run.pair({ busy: true });
      await slowly(source);
      await source.migrate(target);
      await source.reached('active');
      await source.qmp.execute('migrate_cancel');
      await source.reached('cancelled');
    },
  },
  {
    title: 'cancelled before the switchover', run: async (run) => {
      const { source, target } = await run.pair();
      await source.qmp.execute('migrate-set-capabilities', pause);
      await source.migrate(target);
      await source.reached('pre-switchover');
      await source.qmp.execute('migrate_cancel');
      await source.reached('cancelled');
      await source.running();
    },
  },
  {
    title: 'no connection', run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      await source.migrate('unix:/nonexistent/socket');
      await source.reached('failed');
    },
  },
]);
