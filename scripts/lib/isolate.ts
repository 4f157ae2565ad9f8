/**
 * Runs one command so that it can be ended as a whole, whatever it does: in a pid and mount namespace of its own where
 * the machine allows it, otherwise in a process group of its own. Nothing here waits without a limit, and nothing here
 * touches a mount: that is left to scripts/lib/reap, which has a limit as well.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const HERE = import.meta.dirname;
/** Seconds between SIGKILL and giving up on a process that does not go away. */
const GRACE = 15;

export interface Outcome {
  /** Exit status; undefined when it ended by a signal or was killed. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly timedOut: boolean;
  /** Killed, and still there after GRACE. */
  readonly leftBehind: boolean;
  /** Seconds. */
  readonly time: number;
}

const UNSHARE = ['--pid', '--fork', '--kill-child=KILL', '--mount', '--propagation', 'private', '--'];

/** Whether `unshare` works here (root with CAP_SYS_ADMIN, and a /proc that may be mounted anew). */
export function namespacesWork(): boolean {
  const command = [...UNSHARE, 'sh', '-c', 'mount -t proc proc /proc && test -d /proc/1'];
  const probe = spawnSync('unshare', command, { timeout: 5000, killSignal: 'SIGKILL', stdio: 'ignore' });
  return probe.status === 0;
}

const running = new Set<() => void>();

/** Kills everything that runs now; for the end of the runner itself. */
export function killAll(): void {
  for (const kill of running) kill();
}

export async function isolate(command: readonly string[], options: {
  readonly limit: number;
  readonly log: string;
  readonly namespaces: boolean;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}): Promise<Outcome> {
  const started = performance.now();
  const log = openSync(options.log, 'a');
  const [file, args] = options.namespaces
    ? ['unshare', [...UNSHARE, join(HERE, 'inside'), ...command]]
    : [command[0] ?? 'false', command.slice(1)];
  const child = spawn(file, args, {
    // Not detached inside a namespace: then whatever ends the runner's process group ends this too.
    detached: !options.namespaces, stdio: ['ignore', log, log], env: options.env ?? process.env, cwd: options.cwd,
  });
  closeSync(log);
  interface End { readonly status: number | null; readonly signal: string | null }
  const ended = new Promise<End>((resolve) => {
    child.once('exit', (status, signal) => resolve({ status, signal }));
    child.once('error', () => resolve({ status: 127, signal: null }));
  });
  const kill = (): void => {
    if (child.pid === undefined) return;
    const words = options.namespaces ? ['abort'] : [];
    spawnSync('timeout', ['-s', 'KILL', '10', join(HERE, 'reap'), String(child.pid), ...words], { stdio: 'ignore' });
    if (!options.namespaces) {
      try { process.kill(-child.pid, 'SIGKILL'); } catch { /* Already gone. */ }
    }
  };
  running.add(kill);
  const timer = new AbortController();
  const expired = delay(options.limit * 1000, undefined, { signal: timer.signal }).catch(() => undefined);
  let end = await Promise.race([ended, expired]);
  const timedOut = end === undefined;
  if (timedOut) {
    kill();
    end = await Promise.race([ended, delay(GRACE * 1000, undefined, { ref: false })]);
    if (end === undefined) child.unref();
  }
  timer.abort();
  running.delete(kill);
  if (!options.namespaces && child.pid !== undefined) {
    try { process.kill(-child.pid, 'SIGKILL'); } catch { /* Nothing was left behind. */ }
  }
  return {
    status: timedOut ? undefined : end?.status ?? undefined,
    signal: end?.signal ?? undefined,
    timedOut,
    leftBehind: end === undefined,
    time: (performance.now() - started) / 1000,
  };
}
