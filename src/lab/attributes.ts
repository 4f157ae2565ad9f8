/** Reading and writing attribute files from inside, with the rules of read(2) and write(2) but without the mount. */
import { Errno, withDetail } from '../abi/errno.js';
import type { Dir } from '../kernfs/dir.js';
import { FileNode } from '../kernfs/file-node.js';
import type { OpenFile } from '../kernfs/file.js';
import { localRequest } from './local-caller.js';

const O_RDONLY = 0;
const O_WRONLY = 1;
const PAGE = 4096;
/** Bytes of what was written that a message shows. */
const SHOWN = 64;

/** `what` says what was done, for an errno that says nothing but its name. */
async function withFile<T>(
  root: Dir, path: string, flags: number, signal: AbortSignal | undefined, what: () => string, use: (file: OpenFile) => Promise<T>,
): Promise<T> {
  try {
    const node = root.find(path);
    if (node === undefined) throw new Errno('ENOENT', path);
    if (!(node instanceof FileNode)) throw new Errno('EISDIR', path);
    const file = await node.open(localRequest(flags, signal));
    try {
      return await use(file);
    } finally {
      await file.release();
    }
  } catch (error) {
    throw withDetail(error, what());
  }
}

/** The whole content, as text. Throws the errno of open(2) and read(2). `path` must not lead through symbolic links. */
export async function readAttribute(root: Dir, path: string): Promise<string> {
  return withFile(root, path, O_RDONLY, undefined, () => path, async (file) => {
    if (file.read === undefined) throw new Errno('EINVAL');
    return Buffer.from(await file.read(localRequest(O_RDONLY), 0, PAGE)).toString('utf8');
  });
}

/** One write(2). Throws the errno of open(2) and write(2). `signal` interrupts a store that waits (removal): EINTR. */
export async function writeAttribute(root: Dir, path: string, data: string | Uint8Array, signal?: AbortSignal): Promise<void> {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  const what = (): string => `writing ${JSON.stringify(Buffer.from(bytes.subarray(0, SHOWN)).toString('utf8'))} to ${path}`;
  await withFile(root, path, O_WRONLY, signal, what, async (file) => {
    if (file.write === undefined) throw new Errno('EINVAL');
    await file.write(localRequest(O_WRONLY, signal), 0, bytes);
  });
}
