/** What scenarios have in common, with one device or two. */
import type { Run } from './compare.js';
import type { Machine } from './machine.js';
import { slowly } from './machine.js';

/** One that runs, and one that waits for it. */
export interface Pair {
  readonly source: Machine;
  readonly target: Machine;
}

export const PAUSE = { capabilities: [{ capability: 'pause-before-switchover', state: true }] } as const;

export async function migrateWhole({ source, target }: Pair): Promise<void> {
  await source.migrate(target);
  await source.reached('completed');
  await target.running();
}

/** The source sends RAM and the devices' state, slowly, while its machine runs. */
export async function becomeActive({ source, target }: Pair): Promise<void> {
  await slowly(source);
  await source.migrate(target);
  await source.reached('active');
}

export async function cancel({ source }: Pair): Promise<void> {
  await source.qmp.execute('migrate_cancel');
  await source.reached('cancelled');
}

export async function cancelWhileActive(pair: Pair): Promise<void> {
  await becomeActive(pair);
  await cancel(pair);
}

/** With the machine stopped and everything ready. */
export async function cancelBeforeSwitchover(pair: Pair): Promise<void> {
  const { source, target } = pair;
  await source.qmp.execute('migrate-set-capabilities', PAUSE);
  await source.migrate(target);
  await source.reached('pre-switchover');
  await cancel(pair);
}

/** The migration fails, by a knob of that device, and the machine runs on. */
export async function failBy(run: Run, { source, target }: Pair, uuid: string, knob: string, text: string): Promise<void> {
  run.lab.knob(uuid, knob, text);
  await source.migrate(target);
  await source.reached('failed');
  await source.running();
  run.lab.knob(uuid, knob, 'off');
}

/** The destination's device of that name does not go to RESUMING. */
export async function refuseToLoad(run: Run, { source, target }: Pair, uuid: string): Promise<void> {
  run.lab.knob(uuid, 'fail', 'RESUMING EIO 1');
  await slowly(source);
  await source.migrate(target);
  await target.child.ended;
  run.lab.knob(uuid, 'fail', 'off');
  await source.reached('failed');
  await source.running();
}
