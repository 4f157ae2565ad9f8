/** Waiting for what another program says. */
import type { Readable } from 'node:stream';

/** The first line that matches, of a stream that gives text; undefined when it closes before. */
export function lineOf(stream: Readable, pattern: RegExp): Promise<string | undefined> {
  return new Promise((resolve) => {
    let rest = '';
    const look = (text: string): void => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      const found = lines.find((line) => pattern.test(line));
      if (found === undefined) return;
      stream.off('data', look);
      resolve(found);
    };
    stream.on('data', look).once('close', () => resolve(undefined));
  });
}
