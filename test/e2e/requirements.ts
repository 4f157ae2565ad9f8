/** Why an end-to-end test can't run here; undefined where it can. */
import { existsSync } from 'node:fs';
import { sh } from './child.js';
import { QEMU } from './vm.js';

export function whyNoQemu(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync('/dev/fuse')) return 'needs /dev/fuse';
  const { status, stdout } = sh(`${QEMU} --version`);
  if (status !== 0) return `needs ${QEMU}: scripts/test installs it as root`;
  const [, major = '0', minor = '0'] = /version (\d+)\.(\d+)/.exec(stdout) ?? [];
  const [have, need] = [Number(major) * 100 + Number(minor), 801];
  if (have >= need) return undefined;
  return `QEMU ${major}.${minor} is older than 8.1 (Debian 12: apt-get install -t bookworm-backports qemu-system-x86)`;
}
