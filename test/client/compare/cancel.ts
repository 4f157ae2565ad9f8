/** Migrations that are cancelled, in every state in which they can be. */
import { until } from '../../e2e/deadline.js';
import { SOURCE } from '../../e2e/lab.js';
import { qemuMajor } from '../../e2e/requirements.js';
import type { Run, Scenario } from './compare.js';
import { deafListener } from './deaf.js';
import { slowly } from './machine.js';
import { becomeActive, cancel, cancelBeforeSwitchover, cancelWhileActive } from './steps.js';
import { FEATURES } from './success.js';

async function whileActive(run: Run): Promise<void> {
  await cancelWhileActive(await run.pair({ busy: true }));
}

async function beforeSwitchover(run: Run): Promise<void> {
  const pair = await run.pair();
  await cancelBeforeSwitchover(pair);
  await pair.source.running();
}

/** The log of what is written can stop only when the machine runs again. */
const STOPPED: readonly Scenario[] = [
  {
    title: 'a stopped machine, cancelled before the switchover, goes on', run: async (run) => {
      const pair = await run.pair();
      const { source } = pair;
      await source.qmp.execute('stop');
      await cancelBeforeSwitchover(pair);
      await source.qmp.execute('cont');
      await source.running();
    },
  },
  {
    title: 'stopped while active, cancelled, goes on', run: async (run) => {
      const pair = await run.pair({ busy: true });
      const { source } = pair;
      await becomeActive(pair);
      await run.called(source, /SET MIG_DEVICE_STATE PRE_COPY /);
      await source.qmp.execute('stop');
      await cancel(pair);
      await source.qmp.execute('cont');
      await source.running();
    },
  },
];

export const CANCEL: readonly Scenario[] = [
  ...STOPPED,
  {
    title: 'cancelled in setup, while it connects', run: async (run) => {
      const source = await run.start(SOURCE);
      await source.running();
      const listener = await deafListener();
      try {
        await source.migrate(listener.uri);
        await source.reached('setup');
        await source.qmp.execute('migrate_cancel');
        // QEMU 11 waits until it knows whether it is connected.
        if (run.kind === 'vmm' || qemuMajor() < 11) await source.reached('cancelled');
      } finally {
        await listener.end();
      }
      await source.reached('cancelled');
      await source.qmp.execute('stop');
      await source.qmp.execute('cont');
    },
  },
  {
    title: 'cancelled in setup, while the device enters PRE_COPY', events: 'either', run: async (run) => {
      const { source, target } = await run.pair({ busy: true });
      await slowly(source);
      run.lab.knob(SOURCE, 'delay', 'PRE_COPY 700');
      await source.migrate(target);
      // Its last call before PRE_COPY. Then it holds its big lock, and answers when that is done.
      await run.called(source, / GET MIG_DATA_SIZE /);
      await source.qmp.execute('migrate_cancel');
      await source.reached('cancelled');
      run.lab.knob(SOURCE, 'delay', 'off');
      await until(10, 'the device to run', () => (run.lab.state(SOURCE) === 'RUNNING' ? true : undefined));
    },
  },
  ...FEATURES.map((words): Scenario => ({ title: `cancelled while active, ${words}`, features: words, run: whileActive })),
  ...FEATURES.map((words): Scenario =>
    ({ title: `cancelled before the switchover, ${words}`, features: words, run: beforeSwitchover })),
];
