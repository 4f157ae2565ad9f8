/** `mdevsim qmp`: one command to a VMM's (or QEMU's) monitor, for shell scripts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { QmpClient, QmpReplyError } from '../client/qmp/client.js';
import { CliError, describe, EXIT_USAGE } from './errors.js';

export interface QmpRequest {
  /** Repeat until the reply, on one line without blanks, matches this. */
  readonly until?: RegExp;
  /** Seconds. */
  readonly timeout: number;
}

/** ms between repetitions */
const INTERVAL = 20;

/** A regular expression. */
export function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new CliError(`'${text}' is no regular expression`, EXIT_USAGE);
  }
}

/** `{"uri": "unix:/x"}`, or `uri=unix:/x` and more such words, whose values are numbers, true, false or else strings. */
export function parseArguments(words: readonly string[]): object | undefined {
  if (words.length === 0) return undefined;
  const [first = ''] = words;
  if (first.startsWith('{')) {
    try {
      return JSON.parse(first) as object;
    } catch {
      throw new CliError(`the arguments are no JSON: ${first}`, EXIT_USAGE);
    }
  }
  return Object.fromEntries(words.map((word) => {
    const at = word.indexOf('=');
    if (at <= 0) throw new CliError(`arguments are JSON or name=value, not '${word}'`, EXIT_USAGE);
    const text = word.slice(at + 1);
    return [word.slice(0, at), /^(true|false|-?\d{1,15})$/.test(text) ? JSON.parse(text) as unknown : text];
  }));
}

async function repeat(client: QmpClient, command: string, args: object | undefined, request: QmpRequest): Promise<string> {
  const { until, timeout } = request;
  const end = performance.now() + timeout * 1000;
  for (;;) {
    const reply = JSON.stringify(await client.executeAny(command, args));
    if (until === undefined || until.test(reply)) return reply;
    if (performance.now() > end) {
      throw new CliError(`${command} did not answer with ${until.source} within ${timeout} s: ${reply}`);
    }
    await sleep(INTERVAL);
  }
}

/** Prints what the command returns, as JSON on one line. */
export async function qmp(socket: string, command: string, words: readonly string[], request: QmpRequest): Promise<void> {
  const args = parseArguments(words);
  let client: QmpClient;
  try {
    client = await QmpClient.connect(socket.replace(/^unix:/, ''));
  } catch (error) {
    throw new CliError(`no monitor answers at ${socket}: ${describe(error)}`);
  }
  try {
    process.stdout.write(`${await repeat(client, command, args, request)}\n`);
  } catch (error) {
    if (error instanceof QmpReplyError) throw new CliError(error.desc);
    throw error;
  } finally {
    client.close();
  }
}
