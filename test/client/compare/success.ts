/** Migrations that succeed, with every combination of the device's features. */
import { SOURCE, TARGET } from '../../e2e/lab.js';
import { recreate } from '../../e2e/scenario.js';
import type { PairOptions, Run, Scenario } from './compare.js';
import { migrateWhole, PAUSE } from './steps.js';

export const FEATURES = ['stop-copy', 'stop-copy p2p', 'stop-copy pre-copy', 'stop-copy p2p pre-copy'] as const;
/** What devices write is known from the IOMMU; by group QEMU then wants to be told that it shall migrate. */
const IOMMU_LOG = 'x-device-dirty-page-tracking=off';

const migrate = (options: PairOptions = {}) => async (run: Run): Promise<void> => migrateWhole(await run.pair(options));

/** A machine that its user has stopped. */
async function migrateStopped(run: Run): Promise<void> {
  const { source, target } = await run.pair();
  await source.qmp.execute('stop');
  await source.migrate(target);
  await source.reached('completed');
  await target.is('paused');
}

export const SUCCESS: readonly Scenario[] = [
  ...FEATURES.map((words): Scenario => ({ title: `a device with ${words} is migrated`, features: words, run: migrate() })),
  { title: 'a device is migrated by cdev and iommufd', via: 'cdev', run: migrate() },
  {
    title: 'a device is migrated with the log of a type1 container',
    run: migrate({ properties: `${IOMMU_LOG},enable-migration=on` }),
  },
  { title: 'a device is migrated with the log of an iommufd', via: 'cdev', run: migrate({ properties: IOMMU_LOG }) },
  { title: 'what a device has written is asked for when it is stopped', run: migrate({ properties: 'x-pre-copy-dirty-page-tracking=off' }) },
  {
    title: 'a migration waits before the switchover and goes on', run: async (run) => {
      const { source, target } = await run.pair();
      await source.qmp.execute('migrate-set-capabilities', PAUSE);
      await source.migrate(target);
      await source.reached('pre-switchover');
      await source.qmp.execute('migrate-continue', { state: 'pre-switchover' });
      await source.reached('completed');
      await target.running();
    },
  },
  {
    title: 'the destination stays stopped with -S, until it is continued', run: async (run) => {
      const [source, target] = await Promise.all([run.start(SOURCE), run.start(TARGET, { incoming: true, stopped: true })]);
      await source.running();
      await source.migrate(target);
      await source.reached('completed');
      await target.is('paused');
      await target.qmp.execute('cont');
      await target.running();
    },
  },
  ...FEATURES.map((words): Scenario =>
    ({ title: `a stopped machine is migrated, ${words}`, features: words, run: migrateStopped })),
  ...[FEATURES[0], FEATURES[3]].map((words): Scenario => ({
    title: `the source goes on after a migration, ${words}`, features: words, run: async (run) => {
      const pair = await run.pair();
      await migrateWhole(pair);
      await pair.source.qmp.execute('cont');
      await pair.source.running();
    },
  })),
  {
    title: 'there and back', run: async (run) => {
      const pair = await run.pair();
      const { source, target } = pair;
      await migrateWhole(pair);
      await source.quit();
      recreate(run.lab, SOURCE);
      const home = await run.start(SOURCE, { incoming: true });
      await migrateWhole({ source: target, target: home });
    },
  },
];
