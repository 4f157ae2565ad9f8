/**
 * Standard output and error. Node's own streams make the files non-blocking, and every program that shares these, in a pipeline or
 * after `run`, finds them so: here they are used only where nothing else is possible.
 *
 * Answers and messages are written at once, and wait for their reader. A server's words do not: who serves must wait for nobody.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

const STDOUT = 1;
const STDERR = 2;
/** ms between tries where another program has made the file non-blocking, and it is full; and tries, until a message is given up. */
const PATIENCE = 1;
const TRIES = 1000;
const never = new Int32Array(new SharedArrayBuffer(4));
const ignore = (): void => undefined;

/** An answer. Throws Node's error; but that nobody reads any more (`| head -1`) is no failure. */
export function writeStdout(text: string): void {
  writeAll(STDOUT, text, Infinity);
}

/** A message. Never throws: there is nobody left to tell. */
export function writeStderr(text: string): void {
  try { writeAll(STDERR, text, TRIES); } catch { /* As said. */ }
}

/** A server's word that it is ready. Throws Node's error where that is a file or a device that takes nothing. */
export const announceStdout = serverOutput(STDOUT, () => process.stdout);

/** A line of a server's log. Never throws: there is nobody left to tell. */
export function logStderr(text: string): void {
  try { log(text); } catch { /* As said. */ }
}
const log = serverOutput(STDERR, () => process.stderr);

/** What nobody has read yet is kept. `shared`: Node's stream, for a socket, which cannot be opened once more. */
function serverOutput(fd: number, shared: () => Writable): (text: string) => void {
  let write: ((text: string) => void) | undefined;
  const open = (): ((text: string) => void) => {
    const kind = fstatSync(fd);
    if (!kind.isFIFO() && !kind.isSocket()) return (text) => writeAll(fd, text, Infinity);
    const stream = (kind.isFIFO() ? openAgain(fd) : undefined) ?? shared();
    stream.on('error', ignore);
    return (text) => void stream.write(text);
  };
  return (text) => (write ??= open())(text);
}

/** The same pipe as an open file of our own, whose flags are nobody else's. */
function openAgain(fd: number): Writable | undefined {
  try {
    return new Socket({ fd: openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK), readable: false, writable: true }).unref();
  } catch {
    return undefined;
  }
}

function writeAll(fd: number, text: string, tries: number): void {
  let rest: Uint8Array = Buffer.from(text);
  let left = tries;
  while (rest.length > 0 && left > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') return;
      if (code !== 'EAGAIN') throw error;
      left--;
      Atomics.wait(never, 0, 0, PATIENCE);
    }
  }
}
