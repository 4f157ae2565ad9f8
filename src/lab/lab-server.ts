/**
 * LabServer: one `mdevsim mount` as a child process, for tests that touch the lab with synchronous calls, which a lab of their own
 * process could not answer. It ends with this process at the latest.
 *
 *   const lab = await LabServer.start({ args: ['--mdev', 'mtty-2'] });
 *   readFileSync(`${lab.devices[0].path}/migration_block`, 'utf8');
 *   await lab.end();
 */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { umountLab } from '../../mount/mount.js';
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

/** A device that `--mdev` or `--config` made, with absolute paths. */
export interface ServedDevice {
  readonly uuid: string;
  /** `mtty-1` */
  readonly type: string;
  readonly parent: string;
  /** N of /dev/vfio/N. */
  readonly group: number;
  /** Its directory in sysfs. */
  readonly path: string;
  readonly groupNode: string;
  readonly cdevNode: string;
}

export class LabServer {
  /** Absolute path of the mount. */
  readonly dir: string;
  readonly devices: readonly ServedDevice[];
  readonly #program: Program;

  private constructor(program: Program, ready: string) {
    this.#program = program;
    ({ dir: this.dir, devices: this.devices } = JSON.parse(ready) as { dir: string; devices: ServedDevice[] });
  }

  /** Resolves when the lab can be used. Rejects with what the server said when it could not start. */
  static async start(options: LabServerOptions = {}): Promise<LabServer> {
    const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'mdevsim-'));
    const program = new Program(['mount', dir, '--json', ...(options.args ?? [])], options.command);
    try {
      return new LabServer(program, await program.ready());
    } catch (error) {
      await program.kill();
      if (options.dir === undefined) rmdirSync(dir);
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
  async end(): Promise<void> {
    this.process.kill('SIGTERM');
    await this.#program.end();
    await umountLab(this.dir).catch(() => undefined);
    try { rmdirSync(this.dir); } catch { /* The server has done it. */ }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}
