/**
 * Standard output and error. Answers and messages do not go by Node's streams: these make the files non-blocking, and every program
 * that shares them, in a pipeline or after `run`, finds them so. Logs do, once there are any: who serves must not wait for a reader.
 */
import { writeSync } from 'node:fs';

const STDOUT = 1;
const STDERR = 2;
/** ms between tries where another program has made the file non-blocking, and it is full. */
const PATIENCE = 1;
const never = new Int32Array(new SharedArrayBuffer(4));

/** Throws Node's error; but that nobody reads any more (`| head -1`) is no failure. */
export function writeStdout(text: string): void {
  writeAll(STDOUT, text);
}

/** Never throws: there is nobody left to tell. */
export function writeStderr(text: string): void {
  try { writeAll(STDERR, text); } catch { /* As said. */ }
}

/** A line of a log. Never throws, and never waits: what nobody has read yet is kept. */
export function logStderr(text: string): void {
  if (process.stderr.listenerCount('error', ignore) === 0) process.stderr.on('error', ignore);
  process.stderr.write(text);
}

const ignore = (): void => undefined;

function writeAll(fd: number, text: string): void {
  let rest: Uint8Array = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(never, 0, 0, PATIENCE);
    }
  }
}
