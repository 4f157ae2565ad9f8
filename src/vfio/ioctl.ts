/**
 * Ioctls as tables: number, name, handler. How arguments are passed is kernfs/uaccess.ts.
 */
import type { Awaitable, FileRequest } from '../kernfs/file.js';

export interface IoctlRow<T> {
  /** Kernel spelling. Traces have it from src/abi/ioctl-names.ts, which knows arguments too. */
  readonly name: string;
  readonly run: (target: T, request: FileRequest, argument: bigint) => Awaitable<number>;
}

/** By command. A command that is missing is the table's user's matter: ENOTTY or EINVAL. */
export type IoctlTable<T> = ReadonlyMap<number, IoctlRow<T>>;

export function ioctlTable<T>(rows: readonly (readonly [command: number, name: string, run: IoctlRow<T>['run']])[]): IoctlTable<T> {
  return new Map(rows.map(([command, name, run]) => [command, { name, run }]));
}
