/** Callbacks of timers and the like: no request waits for them, so nothing else stands between what they throw and the process. */
import { logError } from './trace.js';

/** `run`, of which an exception is a line in the log; whoever set the timer goes on without this call. */
export function unattended(context: string, run: () => void): () => void {
  return () => {
    try {
      run();
    } catch (error) {
      logError(context, error);
    }
  };
}
