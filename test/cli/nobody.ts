/** Becoming an ordinary user, for what must work without privileges. */
import { spawnSync } from 'node:child_process';
import { MDEVSIM, shell } from './mdevsim.js';

export const NOBODY = 65534;
export const AS_NOBODY = ['setpriv', '--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', 'env', 'HOME=/nonexistent'];

export function asNobody(argv: readonly string[]): { status: number | null; stdout: string; stderr: string } {
  const [file = '', ...args] = [...AS_NOBODY, ...argv];
  const options = { encoding: 'utf8', timeout: 30_000, killSignal: 'SIGKILL', cwd: '/' } as const;
  const { status, stdout, stderr } = spawnSync(file, args, options);
  return { status, stdout, stderr };
}

/** `fusermount3`: to mount a lab. `namespaces`: to run a command in one. */
export type Need = 'fusermount3' | 'namespaces';

/** Why a test as nobody can't run here, or false. */
export function whyNotNobody(...needs: readonly Need[]): string | false {
  if (process.getuid?.() !== 0) return 'needs root, to become nobody';
  if (shell('command -v setpriv unshare').status !== 0) return 'needs setpriv and unshare (util-linux)';
  if (asNobody([...MDEVSIM, '--version']).status !== 0) return 'nobody cannot read this checkout or run this node';
  if (asNobody(['test', '-w', '/dev/fuse']).status !== 0) return 'nobody may not open /dev/fuse';
  if (needs.includes('namespaces') && asNobody(['unshare', '-Urm', 'true']).status !== 0) {
    return 'this machine does not allow unprivileged user namespaces';
  }
  if (needs.includes('fusermount3') && shell('command -v fusermount3').status !== 0) return 'needs fusermount3';
  return false;
}
