/** Programs of other Debian releases, for opt-in tests: a debootstrap tree below build/, made once and kept. */
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, sh } from './e2e/child.js';

export interface DebianTree {
  readonly directory: string;
  /**
   * Path of a script that runs one of the tree's programs outside of it, where it sees this machine's (or a lab's) /sys and
   * /dev: `program` and `args` are as seen in the tree and from outside, in this order, before the script's own arguments.
   */
  launcher(name: string, program: string, args?: readonly string[]): string;
}

/** The tree with these packages, or why there is none. `release` may be one of the backports. Takes a minute the first time. */
export function debianTree(name: string, release: string, packages: readonly string[]): DebianTree | { readonly missing: string } {
  if (process.getuid?.() !== 0) return { missing: 'needs root' };
  if (sh('command -v debootstrap').status !== 0) return { missing: 'needs debootstrap: scripts/test installs it as root' };
  const directory = join(process.env['MDEVSIM_DEBIAN_TREES'] ?? join(ROOT, 'build'), name);
  const make = [join(ROOT, 'scripts/lib/debian-tree'), directory, release, ...packages] as const;
  const { status, stderr } = spawnSync(make[0], make.slice(1), { timeout: 400_000, encoding: 'utf8' });
  if (status !== 0) return { missing: `could not make a tree of ${release}: ${stderr.trim()}` };
  return {
    directory,
    launcher(file, program, args = []) {
      const path = join(directory, file);
      const words = [join(directory, 'outside'), program, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`);
      writeFileSync(path, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
      chmodSync(path, 0o755);
      return path;
    },
  };
}

/** A QEMU of another release: the path of its launcher, or why there is none. */
export function debianQemu(name: string, release: string): string | { readonly missing: string } {
  const tree = debianTree(name, release, ['qemu-system-x86']);
  if ('missing' in tree) return tree;
  const firmware = ['qemu', 'seabios'].flatMap((folder) => ['-L', join(tree.directory, 'usr/share', folder)]);
  return tree.launcher('qemu', '/usr/bin/qemu-system-x86_64', firmware);
}
