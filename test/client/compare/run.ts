/** What else moves a device from state to state. */
import { SOURCE } from '../../e2e/lab.js';
import type { Scenario } from './compare.js';
import { slowly } from './machine.js';
import { FEATURES } from './success.js';

export const WITHOUT_MIGRATION: readonly Scenario[] = [
  ...FEATURES.map((words): Scenario => ({
    title: `stop and cont without a migration, ${words}`, features: words, run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      for (const command of ['stop', 'cont', 'stop', 'cont'] as const) await source.qmp.execute(command);
    },
  })),
  {
    title: 'a machine that is not started, and is', run: async (run) => {
      const source = await run.start(SOURCE, { stopped: true });
      await source.qmp.execute('cont');
      await source.running();
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
    title: 'a reset of a stopped machine', run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      await source.qmp.execute('stop');
      await source.qmp.execute('system_reset');
      await source.qmp.event(({ event }) => event === 'RESET', { what: 'RESET' });
      await source.qmp.execute('cont');
    },
  },
  {
    title: 'RUNNING fails as the machine is continued', run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      await source.qmp.execute('stop');
      run.lab.knob(SOURCE, 'fail', 'RUNNING EIO 1');
      await source.qmp.execute('cont');
      await source.running();
    },
  },
  {
    title: 'the machine ends in the middle of a migration', run: async (run) => {
      const { source, target } = await run.pair({ busy: true });
      await slowly(source);
      await source.migrate(target);
      await source.reached('active');
      await source.quit();
      await target.child.ended;
    },
  },
];
