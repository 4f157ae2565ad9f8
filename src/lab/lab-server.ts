/**
 * LabServer: one `mdevsim mount` as a child process, for tests that touch the lab with synchronous calls, which a lab of their own
 * process could not answer. It ends with this process at the latest.
 *
 *   const lab = await LabServer.start({ args: ['--mdev', 'mtty-2'] });
 *   readFileSync(`${lab.devices[0].path}/migration_block`, 'utf8');
 *   await lab.end();
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { umountLab } from '../../mount/mount.js';
import { removeEmptyDirectory } from '../sys/directory.js';
import { Program } from './program.js';
import { runIn, spawnIn } from './run.js';
import type { RunOptions, RunResult, SpawnOptions } from './run.js';

export interface LabServerOptions {
  /** An empty directory; default: one below $TMPDIR. It is removed at the end. */
  readonly dir?: string;
  /** As `mdevsim mount` takes them: `--mdev`, `mtty-2`. */
  readonly args?: readonly string[];
  /** How to call mdevsim, in the pid namespace of this process. Default: this very copy of it. */
  readonly command?: readonly string[];
}

/** A device as `mount --json` shows it, with absolute paths. */
const DEVICE = v.object({
  uuid: v.string(),
  /** `mtty-1` */
  type: v.string(),
  parent: v.string(),
  /** N of /dev/vfio/N. */
  group: v.number(),
  /** Its directory in sysfs. */
  path: v.string(),
  groupNode: v.string(),
  cdevNode: v.string(),
});
const READY = v.object({ dir: v.string(), devices: v.array(DEVICE) });
/** Of which READY comes. */
const READY_LINE = /^\{"ready":true,/;

/** A device that `--mdev` or `--config` made. */
export type ServedDevice = Readonly<v.InferOutput<typeof DEVICE>>;

export class LabServer {
  /** Absolute path of the mount. */
  readonly dir: string;
  readonly devices: readonly ServedDevice[];
  readonly #program: Program;
  #ending: Promise<void> | undefined;

  private constructor(program: Program, ready: v.InferOutput<typeof READY>) {
    this.#program = program;
    ({ dir: this.dir, devices: this.devices } = ready);
  }

  /** Resolves when the lab can be used. Rejects with what the server said when it could not start. */
  static async start(options: LabServerOptions = {}): Promise<LabServer> {
    const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'mdevsim-'));
    const program = new Program(['mount', dir, '--json', ...(options.args ?? [])], options.command);
    try {
      return new LabServer(program, v.parse(READY, JSON.parse(await program.ready(READY_LINE))));
    } catch (error) {
      await ended(program, dir);
      if (options.dir === undefined) removeEmptyDirectory(dir);
      throw error;
    }
  }

  get process(): ChildProcess {
    return this.#program.process;
  }
  /** Exit status; null where a signal ended it. */
  get ended(): Promise<number | null> {
    return this.#program.ended;
  }
  /** The last part of what it said: warnings, and with `--trace` what happened. */
  get output(): string {
    return this.#program.output;
  }

  /** As Lab.spawn(). */
  spawn(argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawnIn(this.dir, argv, options);
  }
  /** As Lab.run(). */
  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runIn(this.dir, argv, options);
  }

  /** Ends the lab, and waits; also one whose server is dead. Idempotent. */
  end(): Promise<void> {
    return (this.#ending ??= ended(this.#program, this.dir));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}

/** Ends the server, and does what one that was killed has left undone. Any other has, or has not begun: there may be another's lab. */
async function ended(program: Program, dir: string): Promise<void> {
  program.process.kill('SIGTERM');
  if (await program.end() !== null || program.process.pid === undefined) return;
  await umountLab(dir).catch(() => undefined);
  removeEmptyDirectory(dir);
}
