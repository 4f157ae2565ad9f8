/** What went wrong, in the words of strerror(3), from an Errno (positive number) or one of Node's own errors (negative). */
import { strerror } from '../../sys/strerror.js';

export function errorText(error: unknown): string {
  const { errno, code, message } = error as { errno?: unknown; code?: unknown; message?: unknown };
  if (typeof errno === 'number') return strerror(Math.abs(errno));
  // Node's own: the peer has ended, and something was written after that.
  if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || code === 'ERR_STREAM_WRITE_AFTER_END') return strerror(EPIPE);
  return String(message ?? error);
}

const EPIPE = 32;
