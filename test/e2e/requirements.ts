/** Why an end-to-end test can't run here; undefined where it can. */
import { existsSync } from 'node:fs';
import { sh } from './child.js';
import { QEMU } from './vm.js';

const OLDEST = 801;

/** `10.0` as 1000; undefined where there is none. */
function qemuVersion(): number | undefined {
  const { status, stdout } = sh(`${QEMU} --version`);
  const [, major = '0', minor = '0'] = /version (\d+)\.(\d+)/.exec(stdout) ?? [];
  return status === 0 ? Number(major) * 100 + Number(minor) : undefined;
}

/** Its major version; 0 where there is none. */
let major: number | undefined;
export const qemuMajor = (): number => (major ??= Math.floor((qemuVersion() ?? 0) / 100));

export function whyNoQemu(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync('/dev/fuse')) return 'needs /dev/fuse';
  const have = qemuVersion();
  if (have === undefined) return `needs ${QEMU}: scripts/test installs it as root`;
  if (have >= OLDEST) return undefined;
  const version = `${Math.floor(have / 100)}.${have % 100}`;
  return `QEMU ${version} is older than 8.1 (Debian 12: apt-get install -t bookworm-backports qemu-system-x86)`;
}
