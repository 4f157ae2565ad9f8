/** `mdevsim qmp`: one command to a VMM's (or QEMU's) monitor, for shell scripts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { QmpClient, QmpReplyError, QmpTimeoutError } from '../client/qmp/client.js';
import { writeStdout } from '../trace/stdio.js';
import { CliError, describe, usage } from './errors.js';

export interface QmpRequest {
  /** Repeat until the reply, on one line without blanks, matches this. */
  readonly until?: RegExp;
  /** How long to wait for a reply, and with `until` for the one that matches, seconds. */
  readonly timeout: number;
}

/** ms between repetitions */
const INTERVAL = 20;
/** ms */
const SECOND = 1000;

/** A regular expression. */
export function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw usage(`'${text}' is no regular expression`);
  }
}

/** Throws CliError. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw usage(`the arguments are no JSON: ${text}`);
  }
}

/**
 * `{"uri": "unix:/x"}`, or `uri=unix:/x` and more such words, whose values are numbers, true, false, lists and objects, or else
 * strings.
 */
export function parseArguments(words: readonly string[]): object | undefined {
  if (words.length === 0) return undefined;
  const [first = ''] = words;
  if (first.startsWith('{')) {
    return parseJson(first) as object;
  }
  return Object.fromEntries(words.map((word) => {
    const at = word.indexOf('=');
    if (at <= 0) throw usage(`arguments are JSON or name=value, not '${word}'`);
    const text = word.slice(at + 1);
    return [word.slice(0, at), /^(true|false|-?\d{1,15}|[[{].*)$/s.test(text) ? parseJson(text) : text];
  }));
}

async function repeat(client: QmpClient, command: string, args: object | undefined, request: QmpRequest): Promise<string> {
  const { until, timeout } = request;
  const end = performance.now() + timeout * SECOND;
  for (;;) {
    const reply = JSON.stringify(await client.executeAny(command, args));
    if (until === undefined || until.test(reply)) return reply;
    if (performance.now() > end) {
      throw new CliError(`${command} did not answer with ${until.source} within ${timeout} s: ${reply}`);
    }
    await sleep(INTERVAL);
  }
}

const late = (error: unknown, { timeout }: QmpRequest): CliError | undefined =>
  (error instanceof QmpTimeoutError ? new CliError(`no answer within ${timeout} s`) : undefined);

/** Prints what the command returns, as JSON on one line. */
export async function qmp(socket: string, command: string, words: readonly string[], request: QmpRequest): Promise<void> {
  const args = parseArguments(words);
  let client: QmpClient;
  try {
    client = await QmpClient.connect(socket.replace(/^unix:/, ''), request.timeout * SECOND);
  } catch (error) {
    throw late(error, request) ?? new CliError(`no monitor answers at ${socket}: ${describe(error)}`);
  }
  try {
    writeStdout(`${await repeat(client, command, args, request)}\n`);
  } catch (error) {
    if (error instanceof QmpReplyError) throw new CliError(error.desc);
    throw late(error, request) ?? error;
  } finally {
    client.close();
  }
}
