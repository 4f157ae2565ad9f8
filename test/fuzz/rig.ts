/** What the fuzz test runs against: a mounted machine with the mtty driver and two devices, and pictures of its state. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mount } from '../../mount/mount.js';
import { mountTree } from '../../mount/mount.js';
import { isErrno } from '../../src/abi/errno.js';
import type { Machine } from '../../src/device/machine.js';
import { Dir } from '../../src/kernfs/dir.js';
import { FileNode } from '../../src/kernfs/file-node.js';
import type { Node } from '../../src/kernfs/node.js';
import { Symlink } from '../../src/kernfs/symlink.js';
import { buildMachine } from '../../src/lab/build.js';
import type { MdevCore } from '../../src/mdev/core.js';
import { fakeRequest } from '../fakes/caller.js';

export interface Rig extends AsyncDisposable {
  readonly dir: string;
  readonly mount: Mount;
  readonly machine: Machine;
  readonly core: MdevCore;
  /** Of the two devices. */
  readonly uuids: readonly string[];
}

export async function startRig(): Promise<Rig> {
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-fuzz-'));
  const core = buildMachine({});
  const { machine } = core;
  const types = [...core.registrations.values()].flatMap(({ parents }) => parents.flatMap((parent) => [...parent.types.values()]));
  const uuids = types.map((type, n) => core.create(type, `00000000-0000-4000-8000-00000000000${n}`).uuid);
  const mount = await mountTree(machine.tree, dir);
  return {
    dir, mount, machine, core, uuids,
    [Symbol.asyncDispose]: async () => {
      await mount.unmount();
      rmSync(dir, { recursive: true });
    },
  };
}

async function content(node: FileNode): Promise<string> {
  try {
    const file = await node.open(fakeRequest(undefined, 0));
    try {
      return Buffer.from((await file.read?.(fakeRequest(), 0, 4096)) ?? []).toString('latin1');
    } finally {
      await file.release();
    }
  } catch (error) {
    if (isErrno(error)) return `! ${error.code}`;
    throw error;
  }
}

/** Everything that can be seen below a directory: path to mode and content, target or link count. */
export async function picture(dir: Dir, into = new Map<string, string>()): Promise<Map<string, string>> {
  for (const { name } of dir.entries()) {
    const node = dir.lookup(name);
    if (node === undefined) throw new Error(`${dir.path}/${name} is listed and not there`);
    into.set(node.path, `${node.mode.toString(8)} ${await what(node)}`);
    if (node instanceof Dir) await picture(node, into);
    node.forgotten();
  }
  return into;
}

async function what(node: Node): Promise<string> {
  if (node instanceof Symlink) return node.target;
  if (node instanceof FileNode) return content(node);
  return `${node.nlink} links`;
}

/** Writes to every attribute what it contained in the picture; those that cannot be written stay as they are. */
export async function restore(root: Dir, before: ReadonlyMap<string, string>): Promise<void> {
  for (const [path, value] of before) {
    const node = root.find(path);
    const text = value.slice(value.indexOf(' ') + 1);
    if (!(node instanceof FileNode) || (node.mode & 0o222) === 0 || text.startsWith('! ')) continue;
    if (path.endsWith('/uevent') || (await content(node)) === text) continue;
    try {
      const file = await node.open(fakeRequest(undefined, 1));
      await file.write?.(fakeRequest(), 0, Buffer.from(text, 'latin1'));
      await file.release();
    } catch (error) {
      if (!isErrno(error)) throw error;
    }
  }
}

/** This process's open descriptors. */
export const descriptors = (): number => readdirSync('/proc/self/fd').length;
