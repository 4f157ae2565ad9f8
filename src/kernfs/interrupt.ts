/** Waits that a signal to the caller can end. */
import { Errno } from '../abi/errno.js';

/** The promise's result; EINTR as soon as the signal is aborted (what the promise does later is ignored). */
export function interruptible<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => undefined);
    return Promise.reject(new Errno('EINTR'));
  }
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => {
      reject(new Errno('EINTR'));
    };
    const settled = (): void => {
      signal.removeEventListener('abort', abort);
    };
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(settled);
  });
}
