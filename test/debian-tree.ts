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
  launcher(name: string, program: string, args?: readonly string[], env?: Readonly<Record<string, string>>): string;
  /**
   * The same for a program that looks for files of its own: it runs in the tree, where that is a mount point, with this machine's /sys,
   * /dev, /proc, /tmp and `folders`, which must exist in both, and in the same working directory.
   */
  chrootLauncher(name: string, program: string, folders?: readonly string[]): string;
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** The tree with these packages, or why there is none. `release` may be one of the backports. Takes a minute the first time. */
export function debianTree(name: string, release: string, packages: readonly string[]): DebianTree | { readonly missing: string } {
  if (process.getuid?.() !== 0) return { missing: 'needs root' };
  if (sh('command -v debootstrap').status !== 0) return { missing: 'needs debootstrap: scripts/test installs it as root' };
  const directory = join(process.env['MDEVSIM_DEBIAN_TREES'] ?? join(ROOT, 'build'), name);
  const make = [join(ROOT, 'scripts/lib/debian-tree'), directory, release, ...packages] as const;
  const { status, stderr } = spawnSync(make[0], make.slice(1), { timeout: 400_000, encoding: 'utf8' });
  if (status !== 0) return { missing: `could not make a tree of ${release}: ${stderr.trim()}` };
  const script = (file: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): string => {
    const path = join(directory, file);
    const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quoted(value)}\n`).join('');
    writeFileSync(path, `#!/bin/sh\n${exports}exec ${words.map(quoted).join(' ')} "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  };
  return {
    directory,
    launcher(file, program, args = [], env = {}) {
      return script(file, [join(directory, 'outside'), program, ...args], env);
    },
    chrootLauncher(file, program, folders = []) {
      const binds = ['/sys', '/dev', '/proc', '/tmp', ...folders].map((folder) => `mount --rbind ${folder} "$0${folder}"`);
      const steps = ['mount --bind "$0" "$0"', ...binds, `exec chroot "$0" env -C "$PWD" ${program} "$@"`];
      return script(file, ['unshare', '-m', 'sh', '-ec', steps.join('; '), directory]);
    },
  };
}

/** A QEMU of another release: the path of its launcher, or why there is none. */
export function debianQemu(name: string, release: string): string | { readonly missing: string } {
  const tree = debianTree(name, release, ['qemu-system-x86']);
  if ('missing' in tree) return tree;
  const firmware = ['qemu', 'seabios'].flatMap((folder) => ['-L', join(tree.directory, 'usr/share', folder)]);
  // Older ones have TCG in a module.
  const modules = { QEMU_MODULE_DIR: join(tree.directory, 'usr/lib/x86_64-linux-gnu/qemu') };
  return tree.launcher('qemu', '/usr/bin/qemu-system-x86_64', firmware, modules);
}
