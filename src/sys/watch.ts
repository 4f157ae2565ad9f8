/** Any descriptor on Node's own event loop. */
import koffi from 'koffi';

export interface Watch {
  close(): void;
}

/** Calls back each time the event loop finds `fd` readable or hung up (level-triggered), until close(). */
export function watchReadable(fd: number, callback: () => void): Watch {
  return koffi.node.poll(fd, { readable: true, disconnect: true }, callback);
}
