/** Waiting with an end: every wait in the end-to-end tests goes through here, and says what it waited for when it gives up. */
import { setTimeout as sleep } from 'node:timers/promises';

export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** `promise`, or DeadlineError after so many seconds. `detail` is asked for more when the time is up. */
export async function within<T>(seconds: number, what: string, promise: Promise<T>, detail: () => string = () => ''): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const more = detail();
      reject(new DeadlineError(`waited ${seconds} s for ${what}${more === '' ? '' : `\n${more}`}`));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks until the answer is something; for what sends no event. */
export async function until<T>(
  seconds: number, what: string, ask: () => T | undefined | Promise<T | undefined>, detail?: () => string,
): Promise<T> {
  let stop = false;
  const asking = (async (): Promise<T> => {
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (stop) throw new DeadlineError(what);
      await sleep(20);
    }
  })();
  asking.catch(() => undefined);
  try {
    return await within(seconds, what, asking, detail);
  } finally {
    stop = true;
  }
}
