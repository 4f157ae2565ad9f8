/**
 * Calls into a user's driver: what it throws by accident fails that request only, with EIO, and the log says in one line what it
 * was and where in the driver's file.
 */
import { Errno } from '../../abi/errno.js';
import { trace } from '../../trace/trace.js';

/** Directory of the program's own modules: src/ or dist/src/. */
const OURS = new URL('../../', import.meta.url).href;

/** `/home/me/my-driver.js:12`: the innermost place that is neither ours nor Node's. Undefined where there is none. */
export function placeOf(error: Error): string | undefined {
  for (const line of (error.stack ?? '').split('\n')) {
    const place = /(?:\(|at |^)((?:file:\/\/)?\/[^()]*?:\d+)(?::\d+)?\)?$/.exec(line.trim())?.[1];
    if (place === undefined || place.includes('/node_modules/')) continue;
    const url = place.startsWith('file:') ? place : `file://${place}`;
    if (!url.startsWith(OURS)) return url.slice('file://'.length).replace(/\?[^:]*/, '');
  }
  return undefined;
}

/** One sentence about an exception of a user's driver. */
export function accident(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const place = placeOf(error);
  return `${place === undefined ? '' : `${place}: `}${error.name}: ${error.message}`;
}

function report(driver: string, what: string, error: unknown): void {
  trace('log.error', { message: `driver ${driver}, ${what}: ${accident(error)}` });
}

/** For what a driver cannot refuse: whatever it throws is in the log, and nothing else comes of it. */
export function unrefused(driver: string, what: string, run: () => unknown): void {
  const failed = (error: unknown): void => report(driver, what, error);
  try {
    const result = run();
    if (result instanceof Promise) result.catch(failed);
  } catch (error) {
    failed(error);
  }
}

/** `what`: which part of the driver, for the log. Errno passes; anything else becomes EIO. */
export function guarded<T>(driver: string, what: string, run: () => T): T {
  const failed = (error: unknown): never => {
    if (error instanceof Errno) throw error;
    report(driver, what, error);
    throw new Errno('EIO');
  };
  let result: T;
  try {
    result = run();
  } catch (error) {
    return failed(error);
  }
  return result instanceof Promise ? (result.catch(failed) as T) : result;
}
