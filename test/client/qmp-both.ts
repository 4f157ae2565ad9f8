/** QEMU and our VMM side by side: what one says to both, and where they answer otherwise. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MDEVSIM } from '../cli/mdevsim.js';
import { qemuMajor } from '../e2e/requirements.js';
import { QEMU } from '../e2e/vm.js';
import type { Line } from './qmp-peer.js';
import { Peer } from './qmp-peer.js';
import { reconcile } from './qmp-versions.js';

export interface Both {
  readonly ours: Peer;
  readonly qemu: Peer;
}

/** `extra`: arguments that both take; `own`: that only ours does. */
export async function withBoth(
  machine: readonly string[], extra: readonly string[], body: (both: Both, scratch: string) => Promise<void>,
  own: readonly string[] = [],
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-qmp-'));
  const [a, b] = [join(scratch, 'a'), join(scratch, 'b')];
  const ours = new Peer('mdevsim vmm', [...MDEVSIM, 'vmm', '--qmp', `unix:${a}`, ...extra, ...own], a);
  const monitor = ['-display', 'none', '-nodefaults', '-qmp', `unix:${b},server=on,wait=off`];
  const qemu = new Peer('QEMU', [QEMU, ...machine, ...monitor, ...extra.map((arg) => arg.replace(/^--/, '-'))], b);
  try {
    await body({ ours, qemu }, scratch);
  } finally {
    await Promise.all([ours.end(), qemu.end()]);
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Says each to both; every difference, with what was said. */
export async function differences({ ours, qemu }: Both, script: readonly (string | Buffer)[]): Promise<string[]> {
  const found: string[] = [];
  for (const bytes of script) {
    const [our, their] = await Promise.all([ours.say(bytes), qemu.say(bytes)]);
    if (same(our, their)) continue;
    found.push(`${bytes.toString('latin1').slice(0, 200).trim()}\n  QEMU: ${JSON.stringify(their)}\n  ours: ${JSON.stringify(our)}`);
  }
  return found;
}

/** Throws where they say other things than the table knows of. */
export function assertSame(ours: unknown, theirs: unknown): void {
  const comparable = reconcile(qemuMajor(), theirs, ours);
  assert.deepEqual(comparable.ours, comparable.qemu);
}

export function same(ours: readonly Line[], theirs: readonly Line[]): boolean {
  try {
    assertSame(ours, theirs);
    return true;
  } catch {
    return false;
  }
}

/** Two of one kind: one that runs, one that waits. */
export interface Pair {
  readonly name: string;
  readonly source: Peer;
  readonly target: Peer;
  readonly uri: string;
}

/** `own`: arguments of ours that runs. */
export async function withPairs(body: (pairs: readonly Pair[]) => Promise<void>, own: readonly string[] = []): Promise<void> {
  const machine = ['-machine', 'q35,accel=tcg', '-m', '64M', '-no-user-config'];
  await withBoth(machine, [], async (sources, here) => withBoth(machine, ['--incoming', 'defer'], async (targets) => {
    const pairs = [];
    for (const name of ['qemu', 'ours'] as const) {
      const pair = { name, source: sources[name], target: targets[name], uri: `unix:${join(here, `${name}.migration`)}` };
      for (const peer of [pair.source, pair.target]) {
        await peer.greeting();
        await peer.command('qmp_capabilities');
        await peer.command('migrate-set-capabilities', { capabilities: [{ capability: 'events', state: true }] });
      }
      await pair.target.command('migrate-incoming', { uri: pair.uri });
      pairs.push(pair);
    }
    await body(pairs);
  }), own);
}

/** What is left of events to compare: how many passes there are depends on the machine's speed. */
export const story = (peer: Peer): string[] => peer.events.filter((event) => event !== 'MIGRATION_PASS');
