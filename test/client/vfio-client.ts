/** The process of vfio-child.ts, started under `mdevsim run`. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { MDEVSIM } from '../cli/mdevsim.js';
import { ROOT } from '../e2e/child.js';
import { within } from '../e2e/deadline.js';
import type { TestLab } from '../e2e/lab.js';
import type { ACTIONS } from './vfio-child.js';

type Actions = typeof ACTIONS;
interface Answer {
  readonly value?: unknown;
  readonly error?: string;
  readonly happened: readonly string[];
}

export class VfioClient {
  readonly #child: ChildProcess;
  readonly #waiting: ((answer: Answer) => void)[] = [];
  #errors = '';
  /** Events and log lines that came with the last answer. */
  happened: readonly string[] = [];

  constructor(lab: TestLab, settings: object = {}, run: readonly string[] = []) {
    const [command = '', ...args] = MDEVSIM;
    this.#child = spawn(command, [
      ...args, 'run', '--lab', lab.dir, ...run, '--',
      process.execPath, '--import', 'tsx', `${ROOT}test/client/vfio-child.ts`, JSON.stringify(settings),
    ], { stdio: ['pipe', 'pipe', 'pipe'], cwd: ROOT });
    this.#child.stderr?.on('data', (data: Buffer) => (this.#errors += data.toString()));
    if (this.#child.stdout !== null) {
      createInterface({ input: this.#child.stdout }).on('line', (line) => this.#waiting.shift()?.(JSON.parse(line) as Answer));
    }
  }

  /** What the action returns; throws Error with its text. */
  async do<A extends keyof Actions>(action: A, ...args: Parameters<Actions[A]>): Promise<Awaited<ReturnType<Actions[A]>>> {
    const answer = new Promise<Answer>((resolve) => this.#waiting.push(resolve));
    this.#child.stdin?.write(`${JSON.stringify([action, ...args])}\n`);
    const { value, error, happened } = await within(20, `the client's answer to ${action}`, answer, () => this.#errors);
    this.happened = happened;
    if (error !== undefined) throw new Error(error);
    return value as Awaited<ReturnType<Actions[A]>>;
  }

  /** Of the process that the lab sees. */
  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`the client did not start: ${this.#errors}`);
    return this.#child.pid;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** A lab's client for the length of `body`. */
export async function withClient(
  lab: TestLab, body: (client: VfioClient) => Promise<void>, settings: object = {}, run: readonly string[] = [],
): Promise<void> {
  const client = new VfioClient(lab, settings, run);
  try {
    await body(client);
  } finally {
    client.kill();
  }
}
