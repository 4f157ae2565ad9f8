/** Migrations that succeed, with every combination of the device's features. */
import { compareScenarios } from './compare/compare.js';
import type { Run, Scenario } from './compare/compare.js';

const migrate = async (run: Run): Promise<void> => {
  const { source, target } = await run.pair();
  await source.migrate(target);
  await source.reached('completed');
  await target.running();
};

const FEATURES = ['stop-copy', 'stop-copy p2p', 'stop-copy pre-copy', 'stop-copy p2p pre-copy'];
const features: readonly Scenario[] = FEATURES.map((words) => ({
  title: `a device with ${words} is migrated`, features: words, run: migrate,
}));

compareScenarios('success', [
  ...features,
  { title: 'a device is migrated by cdev and iommufd', via: 'cdev', run: migrate },
]);
