/** Beginnings that several tests share. */
import assert from 'node:assert/strict';
import { assertDone } from './assert.js';
import { sh } from './child.js';
import { until } from './deadline.js';
import { SOURCE, TARGET } from './lab.js';
import type { TestLab } from './lab.js';
import type { Vm, VmOptions } from './vm.js';

/** The card as new: what an interrupted migration has left in it is gone. */
export function recreate(lab: TestLab, uuid: string): void {
  const type = sh(`readlink -f ${lab.path(uuid, 'mdev_type')}`).stdout.trim();
  assertDone(sh(`echo 1 > ${lab.path(uuid, 'remove')} && echo ${uuid} > ${type}/create`));
}

/** A machine that runs and one that waits for it. */
export async function pair(lab: TestLab, via: VmOptions['via'] = 'group'): Promise<{ source: Vm; target: Vm }> {
  const [source, target] = await Promise.all([lab.vm({ uuid: SOURCE, via }), lab.vm({ uuid: TARGET, via, incoming: true })]);
  assert.equal(await source.isRunning(), true);
  return { source, target };
}

/** Starts a migration that does not end by itself, and waits until the device is being pre-copied. */
export async function beginSlowly(lab: TestLab, source: Vm, target: Vm): Promise<void> {
  await source.startMigration(target, true);
  await source.reached('active');
  await until(20, 'the device to be in PRE_COPY', () => (lab.state(SOURCE) === 'PRE_COPY' ? true : undefined));
}
