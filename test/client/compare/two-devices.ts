/** Machines with two devices, which go from state to state together, and of which one can fail. */
import { assertDone } from '../../e2e/assert.js';
import { sh } from '../../e2e/child.js';
import { SOURCE, TARGET } from '../../e2e/lab.js';
import type { Run, Scenario } from './compare.js';
import { cancelBeforeSwitchover, cancelWhileActive, failBy, migrateWhole, refuseToLoad } from './steps.js';
import type { Pair } from './steps.js';

const SECOND = { [SOURCE]: '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003', [TARGET]: '83b8f4f2-509f-382f-3c1e-e6bfe0fa1004' };
/** Only with P2P can several devices migrate. */
const FEATURES = ['stop-copy p2p', 'stop-copy p2p pre-copy'] as const;

/** `features`: of every device; `own`: of those devices, by UUID, instead. */
const withPair = (body: (pair: Pair, run: Run) => Promise<void>, features?: string, own: Record<string, string> = {}) =>
  async (run: Run): Promise<void> => {
    const seconds = Object.values(SECOND);
    const types = `${run.lab.dir}/sys/class/mdev_bus/mtty/mdev_supported_types`;
    for (const uuid of seconds) assertDone(sh(`echo ${uuid} > ${types}/mtty-1/create`));
    try {
      if (features !== undefined) for (const uuid of [SOURCE, TARGET, ...seconds]) run.lab.knob(uuid, 'features', features);
      for (const [uuid, words] of Object.entries(own)) run.lab.knob(uuid, 'features', words);
      const [source, target] = await Promise.all([
        run.start(SOURCE, { also: SECOND[SOURCE], busy: true }), run.start(TARGET, { also: SECOND[TARGET], incoming: true }),
      ]);
      await source.running();
      await body({ source, target }, run);
      for (const machine of [source, target]) if (machine.child.running) await machine.quit();
    } finally {
      for (const machine of run.machines) await machine.child.stop('SIGKILL');
      for (const uuid of seconds) assertDone(sh(`echo 1 > ${run.lab.path(uuid, 'remove')}`));
    }
  };

async function cancelAndRunOn(pair: Pair): Promise<void> {
  await cancelBeforeSwitchover(pair);
  await pair.source.running();
}

const ORDINALS = { first: SOURCE, second: SECOND[SOURCE] ?? '' };

/** What goes wrong in one of them. */
const faults = (ordinal: keyof typeof ORDINALS, ...texts: readonly string[]): Scenario[] => texts.map((text) =>
  ({ title: `two devices, the ${ordinal} fails: ${text}`, run: withPair((pair, run) => failBy(run, pair, ORDINALS[ordinal], 'fail', text)) }));
const streamFails = (ordinal: keyof typeof ORDINALS): Scenario =>
  ({ title: `two devices, the stream of the ${ordinal} fails`, run: withPair((pair, run) => failBy(run, pair, ORDINALS[ordinal], 'stream_fail', '40 EIO')) });
const onlyOneHasPrecopy = (ordinal: keyof typeof ORDINALS): Scenario => ({
  title: `two devices, only the ${ordinal} has PRE_COPY`,
  run: withPair(migrateWhole, 'stop-copy p2p', { [ORDINALS[ordinal]]: 'stop-copy p2p pre-copy' }),
});
const [WITHOUT_PRECOPY, WITH_PRECOPY] = FEATURES;
const cancelled = (when: string, run: typeof cancelWhileActive, words: string): Scenario =>
  ({ title: `two devices, cancelled ${when}, ${words}`, run: withPair(run, words) });

export const TWO_DEVICES: readonly Scenario[] = [
  ...FEATURES.map((words): Scenario => ({ title: `two devices are migrated, ${words}`, run: withPair(migrateWhole, words) })),
  cancelled('while active', cancelWhileActive, WITH_PRECOPY), cancelled('before the switchover', cancelAndRunOn, WITH_PRECOPY),
  onlyOneHasPrecopy('first'), onlyOneHasPrecopy('second'), ...faults('first', 'PRE_COPY EBUSY 1', 'STOP_COPY EIO 1'),
  ...faults('second', 'PRE_COPY EBUSY 1', 'PRE_COPY_P2P EIO 1', 'STOP_COPY EIO 1 ERROR'), streamFails('second'),
  {
    title: 'two devices, the destination refuses to load the second',
    run: withPair((pair, run) => refuseToLoad(run, pair, SECOND[TARGET] ?? '')),
  },
  {
    title: 'two devices, stop and cont without a migration, and a reset', run: withPair(async ({ source }) => {
      for (const command of ['stop', 'cont'] as const) await source.qmp.execute(command);
      await source.qmp.execute('system_reset');
      await source.qmp.event(({ event }) => event === 'RESET', { what: 'RESET' });
    }),
  },
  {
    title: 'two devices, one without P2P: no migration', run: withPair(async ({ source, target }) => {
      await source.migrate(target).then(() => Promise.reject(new Error('was not refused')), () => undefined);
    }, undefined, { [SOURCE]: 'stop-copy' }),
  },
];

/** The rest, which takes another minute: opt-in, with another QEMU. */
export const MORE_OF_TWO_DEVICES: readonly Scenario[] = [
  cancelled('while active', cancelWhileActive, WITHOUT_PRECOPY), cancelled('before the switchover', cancelAndRunOn, WITHOUT_PRECOPY),
  ...faults('first', 'PRE_COPY_P2P EIO 1', 'STOP_COPY EIO 1 ERROR'), ...faults('second', 'STOP_COPY EIO 1'), streamFails('first'),
  {
    title: 'two devices of a stopped machine', run: withPair(async ({ source, target }) => {
      await source.qmp.execute('stop');
      await source.migrate(target);
      await source.reached('completed');
      await target.is('paused');
    }),
  },
];
