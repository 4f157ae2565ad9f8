/**
 * For the tests without privileges. `serve DIR` serves /file, whose ioctls 0x3bf1 read the caller's memory, 0x3bf2 take its
 * descriptor 0 and 0x3bf3 look at it; `ask DIR` calls them, first as an ordinary process, then as one that may not be traced.
 */
import { Tree } from '../../src/kernfs/tree.js';
import { openFd } from '../../src/sys/io.js';
import { bind, lastErrno } from '../../src/sys/libc.js';
import { mountTree } from '../../mount/mount.js';
import type { FileRequest } from '../../src/kernfs/file.js';

const [mode = '', dir = ''] = process.argv.slice(2);
const COMMANDS = [0x3bf1, 0x3bf2, 0x3bf3];
const PR_SET_DUMPABLE = 4;

async function serve(): Promise<void> {
  const tree = new Tree();
  const ioctl = ({ caller }: FileRequest, command: number, argument: bigint): number => {
    if (command === 0x3bf1) caller.read(argument, 4);
    if (command === 0x3bf2) caller.takeFd(0).close();
    if (command === 0x3bf3) caller.isEventfd(0);
    return 0;
  };
  tree.addFile(tree.root, 'file', 0o644, () => ({ kind: 'file', ioctl, release: () => undefined }));
  await mountTree(tree, dir);
  console.log('ready');
}

function ask(): void {
  const file = openFd(`${dir}/file`, 2);
  const ioctl = bind('ioctl', 'int', ['int', 'ulong', 'pointer']);
  const prctl = bind('prctl', 'int', ['int', 'ulong', 'ulong', 'ulong', 'ulong']);
  for (const dumpable of [1, 0]) {
    prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
    console.log(COMMANDS.map((command) => (ioctl(file, command, new Uint8Array(4)) < 0 ? lastErrno() : 0)).join(' '));
  }
}

if (mode === 'serve') await serve();
else ask();
