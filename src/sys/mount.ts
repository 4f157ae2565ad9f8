/** mount(2), umount2(2), and namespaces. All throw Errno. */
import { Fd } from './fd.js';
import { bind, callAsync, check, syscallNumber } from './libc.js';

const cMount = bind('mount', 'int', ['string', 'string', 'string', 'ulong', 'string']);
const cUmount2 = bind('umount2', 'int', ['string', 'int']);
const cUnshare = bind('unshare', 'int', ['int']);
const cSetns = bind('setns', 'int', ['int', 'int']);
const cChroot = bind('chroot', 'int', ['string']);
const cOpenTree = bind('syscall', 'long', ['long', 'int', 'string', 'uint']);
const cMoveMount = bind('syscall', 'long', ['long', 'int', 'string', 'int', 'string', 'uint']);

export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_SLAVE = 1 << 19;
export const MNT_DETACH = 2;

const AT_FDCWD = -100;
const OPEN_TREE_CLONE = 1;
const OPEN_TREE_CLOEXEC = 0o2000000;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

export const CLONE_NEWNS = 0x00020000;

export function mount(
  source: string | null, target: string, type: string | null, flags: number, data: string | null = null,
): void {
  check(cMount(source, target, type, flags, data), `mount ${target}`);
}

/** Blocks on nothing of the mount itself: with MNT_DETACH the path is looked up without asking the file system. */
export function umount(target: string, flags = MNT_DETACH): void {
  check(cUmount2(target, flags), `umount ${target}`);
}

export async function umountAsync(target: string, flags = MNT_DETACH): Promise<void> {
  await callAsync(`umount ${target}`, cUmount2, target, flags);
}

/** For the calling thread, which is the one that later calls execve(). CLONE_NEWUSER needs a process with one thread. */
export function unshare(flags: number): void {
  check(cUnshare(flags), 'unshare');
}

/** For the calling thread when that has unshared its mount namespace. The working directory stays where it was. */
export function chroot(dir: string): void {
  check(cChroot(dir), `chroot ${dir}`);
}

export function setns(fd: number, type: number): void {
  check(cSetns(fd, type), 'setns');
}

/** open_tree(2): a copy of the mount that `path` lies on, seen from `path`, that is mounted nowhere yet. */
export function cloneMount(path: string): Fd {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  return new Fd(check(cOpenTree(syscallNumber('open_tree'), AT_FDCWD, path, flags), `open_tree ${path}`));
}

/** move_mount(2): mounts what cloneMount() returned. */
export function attachMount(tree: Fd, target: string): void {
  const number = syscallNumber('move_mount');
  check(cMoveMount(number, tree.fd, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH), `move_mount ${target}`);
}
