/**
 * One request object to one reply object. Source: qapi/qmp-dispatch.c: qmp_dispatch_check_obj(), qmp_dispatch().
 */
import type { Fd } from '../../sys/fd.js';
import type { NamedDescriptors } from './descriptors.js';
import { QmpError } from './error.js';
import type { Json, JsonObject } from './json-parser.js';
import { isJsonObject } from './json-parser.js';
import type { QmpMembers, QmpType } from './schema.js';
import { checkMembers } from './schema.js';

export type QmpArguments = { readonly [name: string]: Json };

/** By which monitor a command came. */
export interface QmpMonitor {
  readonly descriptors: NamedDescriptors;
  /** One that the client has sent along, the caller's from now on. */
  readonly takeDescriptor: () => Fd | undefined;
}

export interface QmpCommand {
  readonly arguments?: QmpMembers;
  /** What it returns. Default: {} */
  readonly returns?: QmpType;
  /** Looks at its arguments itself: there are more than are declared. */
  readonly open?: boolean;
  readonly allowOob?: boolean;
  /** Runs when it arrives, not in its turn on the main loop: what lets a held main loop go on. */
  readonly immediate?: boolean;
  /** `args` are checked. Throws QmpError; the result is `return`, undefined meaning {}. */
  run(args: QmpArguments, monitor: QmpMonitor): Json | undefined | Promise<Json | undefined>;
}

/** Commands in the order of query-commands. */
export type QmpCommands = ReadonlyMap<string, QmpCommand>;

export interface QmpRequest {
  readonly execute: string;
  readonly outOfBand: boolean;
  readonly arguments: QmpArguments;
}

/** Throws QmpError for anything but a well-formed request. `oob`: the client negotiated out-of-band commands. */
export function parseRequest(message: Json, oob: boolean): QmpRequest {
  if (!isJsonObject(message)) throw new QmpError('QMP input must be a JSON object');
  let execute: string | undefined;
  let outOfBand = false;
  let args: JsonObject = {};
  for (const [key, value] of Object.entries(message)) {
    if (key === 'execute' || (key === 'exec-oob' && oob)) {
      if (typeof value !== 'string') throw new QmpError(`QMP input member '${key}' must be a string`);
      if (execute !== undefined) throw new QmpError("QMP input member 'execute' clashes with 'exec-oob'");
      execute = value;
      outOfBand = key === 'exec-oob';
    } else if (key === 'arguments') {
      if (!isJsonObject(value)) throw new QmpError("QMP input member 'arguments' must be an object");
      args = value;
    } else if (key !== 'id') {
      throw new QmpError(`QMP input member '${key}' is unexpected`);
    }
  }
  if (execute === undefined) throw new QmpError("QMP input lacks member 'execute'");
  return { execute, outOfBand, arguments: args };
}

/** Looks the command up, checks its arguments and runs it. Throws QmpError. */
export async function dispatch(
  request: QmpRequest, monitor: QmpMonitor, commands: QmpCommands, unknown: (name: string) => QmpError,
): Promise<Json> {
  const command = commands.get(request.execute);
  if (command === undefined) throw unknown(request.execute);
  if (request.outOfBand && command.allowOob !== true) throw new QmpError(`The command ${request.execute} does not support OOB`);
  if (command.open !== true) checkMembers(request.arguments, command.arguments ?? {});
  return await command.run(request.arguments, monitor) ?? {};
}
