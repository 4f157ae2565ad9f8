/**
 * Runs test files, each in a process of its own with a hard time limit, and counts their tests. A file that hangs is
 * killed with everything it started and counts as failed; the run goes on. Called by scripts/test.
 *
 * Options: --root DIR (default: the project), --limit SECONDS (for every file), --deadline SECONDS (for all of it: files
 * that were not started by then count as failed), --step NAME=STATUS (a check that has run before), the opt-in options of
 * plan.ts; everything else is a filter. The last line is `N passed, N failed, N skipped`.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isolate, killAll, namespacesWork } from './isolate.js';
import type { Outcome } from './isolate.js';
import { choose, OPT_IN } from './plan.js';
import type { Plan } from './plan.js';
import { readResults } from './results.js';
import type { FileResult } from './results.js';

const HERE = import.meta.dirname;
/** Lines of a failed file's output that are shown. */
const SHOWN = 150;
/** Files that run at the same time, when they are pure. */
const PARALLEL = 2;

interface Options {
  root: string;
  limit: number | undefined;
  deadline: number;
  readonly steps: { readonly name: string; readonly failed: boolean }[];
  readonly chosen: Set<string>;
  readonly filters: string[];
}

function parseArguments(argv: readonly string[]): Options {
  const options: Options = {
    root: join(HERE, '..', '..'), limit: undefined, deadline: Infinity, steps: [], chosen: new Set(), filters: [],
  };
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === '--root') options.root = rest.shift() ?? '.';
    else if (word === '--limit') options.limit = Number(rest.shift());
    else if (word === '--deadline') options.deadline = Number(rest.shift());
    else if (word === '--step') {
      const [name = '', status] = (rest.shift() ?? '').split('=');
      options.steps.push({ name, failed: status !== '0' });
    } else if (Object.values(OPT_IN).includes(word)) options.chosen.add(word);
    else if (word.startsWith('-')) throw new Error(`unknown option ${word}`);
    else options.filters.push(word);
  }
  return options;
}

interface Ran {
  readonly plan: Plan;
  readonly result: FileResult;
  /** Undefined when it was not run. */
  readonly outcome: Outcome | undefined;
  /** File with the output. */
  readonly log: string;
  /** Why the file as a whole failed. */
  readonly problem: string | undefined;
}

/** Why the file as a whole failed, beyond its failed tests. */
function problemOf(outcome: Outcome, result: FileResult, limit: number): string | undefined {
  if (outcome.timedOut) {
    const where = result.running[0] === undefined ? ', with no test running' : ` in: ${result.running[0]}`;
    return `killed after ${limit} s${where}${outcome.leftBehind ? ' (a process could not be killed)' : ''}`;
  }
  if (result.failed.length > 0) return undefined;
  if (outcome.signal !== undefined) return `ended by ${outcome.signal}`;
  if (outcome.status !== 0) return `ended with status ${outcome.status}`;
  return result.passed + result.skipped.length === 0 ? 'has no tests' : undefined;
}

const failures = (ran: Ran): number => ran.result.failed.length + (ran.problem === undefined ? 0 : 1);

class Runner {
  readonly #options: Options;
  readonly #namespaces = namespacesWork();
  readonly #logs = mkdtempSync(join(tmpdir(), 'mdevsim-test-'));
  readonly #started = performance.now();
  #count = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  async #once(plan: Plan): Promise<Ran> {
    const name = `${++this.#count}-${plan.file.replaceAll('/', '_')}`;
    const log = join(this.#logs, `${name}.log`);
    const events = join(this.#logs, `${name}.events`);
    writeFileSync(events, '');
    const left = this.#options.deadline - (performance.now() - this.#started) / 1000;
    const limit = Math.min(plan.limit, Math.max(5, Math.ceil(left)));
    const outcome = await isolate([
      process.execPath, '--import', 'tsx',
      '--test-reporter', pathToFileURL(join(HERE, 'reporter.ts')).href, '--test-reporter-destination', events,
      '--test-reporter', 'spec', '--test-reporter-destination', 'stdout',
      join(this.#options.root, plan.file),
    ], {
      limit, log, namespaces: this.#namespaces, cwd: join(HERE, '..', '..'),
      env: { ...process.env, MDEVSIM_TEST_BUILT: '1', NO_COLOR: '1', NODE_TEST_CONTEXT: undefined },
    });
    const result = readResults(readFileSync(events, 'utf8'));
    return { plan, result, outcome, log, problem: problemOf(outcome, result, limit) };
  }

  /** Runs a file, a second time where the plan allows it; both runs are returned when there were two. */
  async #file(plan: Plan): Promise<{ ran: Ran; second: boolean }> {
    if ((performance.now() - this.#started) / 1000 >= this.#options.deadline) {
      const result = { passed: 0, failed: [], skipped: [], running: [] };
      const problem = 'not run: the time for all tests is used up';
      return { ran: { plan, result, outcome: undefined, log: '', problem }, second: false };
    }
    const ran = await this.#once(plan);
    this.#print(ran);
    if (failures(ran) === 0 || !plan.retry) return { ran, second: false };
    console.log(`      running ${plan.file} once more`);
    const again = await this.#once(plan);
    this.#print(again);
    return { ran: again, second: failures(again) === 0 };
  }

  #print({ plan, result, outcome, log, problem }: Ran): void {
    const failed = result.failed.length > 0 || problem !== undefined;
    const counts = [`${result.passed} passed`];
    if (result.failed.length > 0) counts.push(`${result.failed.length} failed`);
    if (result.skipped.length > 0) counts.push(`${result.skipped.length} skipped`);
    if (problem !== undefined) counts.push(problem);
    console.log(`${failed ? 'FAIL' : 'ok  '}  ${plan.file}: ${counts.join(', ')} (${outcome?.time.toFixed(1)} s)`);
    for (const { name, reason } of result.skipped) console.log(`      skipped: ${name}: ${reason}`);
    if (!failed) return;
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
    if (lines.length > SHOWN) console.log(`      | ... ${lines.length - SHOWN} lines more in ${log}`);
    for (const line of lines.slice(-SHOWN)) console.log(`      | ${line}`);
  }

  async run(): Promise<boolean> {
    const { root, filters, chosen, limit, steps } = this.#options;
    const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.test.ts') && !/(^|\/)fixtures\//.test(file)).map((file) => join('test', file));
    const plans = choose(files, filters, chosen).map((one) => (limit === undefined ? one : { ...one, limit }));
    if (!this.#namespaces) console.log('note: no pid namespaces here; each test file gets a process group instead');
    const all: { ran: Ran; second: boolean }[] = [];
    const queue = plans.filter((one) => one.parallel);
    const worker = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) all.push(await this.#file(next));
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    for (const one of plans.filter((other) => !other.parallel)) all.push(await this.#file(one));

    const broken = all.filter(({ ran }) => failures(ran) > 0);
    const brokenSteps = steps.filter((step) => step.failed);
    const lucky = all.filter(({ second }) => second);
    console.log('');
    for (const step of brokenSteps) console.log(`failed: ${step.name}`);
    for (const { ran } of broken) {
      for (const test of ran.result.failed) console.log(`failed: ${ran.plan.file}: ${test}`);
      if (ran.problem !== undefined) console.log(`failed: ${ran.plan.file}: ${ran.problem}`);
    }
    for (const { ran } of lucky) console.log(`passed on the second run: ${ran.plan.file}`);
    if (lucky.length > 0) console.log(`${lucky.length} file${lucky.length === 1 ? '' : 's'} passed on the second run`);
    const sum = (count: (ran: Ran) => number): number => all.reduce((total, { ran }) => total + count(ran), 0);
    const failed = sum(failures) + brokenSteps.length + (plans.length === 0 ? 1 : 0);
    if (plans.length === 0) console.log(`failed: no test file matches ${filters.join(' ') || 'anything'}`);
    if (failed === 0) rmSync(this.#logs, { recursive: true, force: true });
    const skipped = sum((ran) => ran.result.skipped.length);
    console.log(`${sum((ran) => ran.result.passed)} passed, ${failed} failed, ${skipped} skipped`);
    return failed === 0;
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll();
    console.log(`failed: the run was ended by ${signal}`);
    console.log('0 passed, 1 failed, 0 skipped');
    process.exit(1);
  });
}
mkdirSync(tmpdir(), { recursive: true });
process.exitCode = await new Runner(parseArguments(process.argv.slice(2))).run() ? 0 : 1;
// A process that could not be killed must not keep the runner.
process.exit();
