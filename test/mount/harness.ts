/** A session over the in-memory kernel, with typed requests. */
import assert from 'node:assert/strict';
import { DEFAULT_KERNEL, KERNEL_PROFILES } from '../../src/abi/kernel-profile.js';
import type { KernelVersion } from '../../src/abi/kernel-profile.js';
import type { Dir } from '../../src/kernfs/dir.js';
import type { FileRequest, OpenFile } from '../../src/kernfs/file.js';
import { Tree } from '../../src/kernfs/tree.js';
import { setLogSink } from '../../src/trace/trace.js';
import { AdaptivePoll } from '../../mount/adaptive-poll.js';
import {
  fuse_dirent, fuse_entry_out, fuse_flush_in, fuse_getattr_in, fuse_ioctl_in, fuse_open_in, fuse_open_out, fuse_poll_in,
  fuse_read_in, fuse_release_in, fuse_write_in, fuse_write_out,
} from '../../mount/fuse-abi.js';
import { OPERATIONS } from '../../mount/opcodes.js';
import { serve } from '../../mount/serve.js';
import { Session } from '../../mount/session.js';
import { FakeKernel } from '../fakes/channel.js';
import type { Reply, RequestOptions } from '../fakes/channel.js';

export const text = (value: Uint8Array): string => Buffer.from(value).toString();
export const cString = (value: string): Uint8Array => Buffer.from(`${value}\0`);
export const O_RDWR = 2;

export interface Rig {
  readonly tree: Tree;
  readonly kernel: FakeKernel;
  readonly session: Session;
  /** By name of the operation. */
  call(name: string, nodeid: number, body?: Uint8Array, options?: RequestOptions): Promise<Reply>;
  /** The nodeid; fails on an error. */
  lookup(path: string): Promise<number>;
  /** The handle; fails on an error. */
  open(path: string, flags?: number): Promise<bigint>;
  read(fh: bigint, offset?: number, size?: number): Promise<Reply>;
  write(fh: bigint, data: string | Uint8Array, offset?: number): Promise<Reply>;
  ioctl(fh: bigint, cmd: number, arg?: bigint, options?: RequestOptions): Promise<Reply>;
  poll(fh: bigint, kh: bigint, flags: number): Promise<Reply>;
  flush(fh: bigint): Promise<Reply>;
  release(fh: bigint): Promise<Reply>;
}

export function opcodeOf(name: string): number {
  const operation = OPERATIONS.find((row) => row.name === name);
  assert.ok(operation !== undefined, name);
  return operation.opcode;
}

/** A served session that has answered INIT. */
export async function makeRig(tree = new Tree()): Promise<Rig> {
  const kernel = new FakeKernel();
  const session = new Session(tree, kernel, { xattrs: true });
  serve(session, kernel, new AdaptivePoll({ window: 0 }));
  assert.equal((await kernel.init()).error, '0');
  const call: Rig['call'] = (name, nodeid, body, options) => kernel.request(opcodeOf(name), nodeid, body, options);
  const lookup = async (path: string): Promise<number> => {
    let nodeid = 1;
    for (const part of path.split('/').filter((name) => name !== '')) {
      const reply = await call('LOOKUP', nodeid, cString(part));
      assert.equal(reply.error, '0', `LOOKUP ${part}`);
      nodeid = Number(fuse_entry_out.decode(reply.payload).nodeid);
    }
    return nodeid;
  };
  return {
    tree, kernel, session, call, lookup,
    open: async (path, flags = O_RDWR) => {
      const reply = await call('OPEN', await lookup(path), fuse_open_in.encode({ flags }));
      assert.equal(reply.error, '0', `OPEN ${path}`);
      return fuse_open_out.decode(reply.payload).fh;
    },
    read: (fh, offset = 0, size = 4096) => call('READ', 1, fuse_read_in.encode({ fh, offset: BigInt(offset), size })),
    write: (fh, data, offset = 0) => {
      const bytes = Buffer.from(data);
      return call('WRITE', 1, Buffer.concat([fuse_write_in.encode({ fh, offset: BigInt(offset), size: bytes.length }), bytes]));
    },
    ioctl: (fh, cmd, arg = 0n, options = {}) => call('IOCTL', 1, fuse_ioctl_in.encode({ fh, cmd, arg }), options),
    poll: (fh, kh, flags) => call('POLL', 1, fuse_poll_in.encode({ fh, kh, flags })),
    flush: (fh) => call('FLUSH', 1, fuse_flush_in.encode({ fh })),
    release: (fh) => call('RELEASE', 1, fuse_release_in.encode({ fh })),
  };
}

export const writtenSize = (reply: Reply): number => fuse_write_out.decode(reply.payload).size;
export const getattrBody = (): Uint8Array => fuse_getattr_in.encode({});

export interface Dirent {
  readonly name: string;
  readonly type: number;
  readonly off: number;
}

/** The entries in a READDIR payload; with `plus` those of READDIRPLUS. */
export function dirents(payload: Uint8Array, plus = false): Dirent[] {
  const entries: Dirent[] = [];
  for (let at = 0; at < payload.length;) {
    if (plus) at += fuse_entry_out.size;
    const { off, namelen, type } = fuse_dirent.decode(payload, at);
    const start = at + fuse_dirent.size;
    entries.push({ name: text(payload.subarray(start, start + namelen)), type, off: Number(off) });
    at = Math.ceil((start + namelen) / 8) * 8;
  }
  return entries;
}

/** An open file with only these operations. */
export function file(operations: Partial<OpenFile> = {}): OpenFile {
  return { kind: 'test', release: () => undefined, ...operations };
}

/** A tree with /dir/file, whose open() gives the file, and /dir/link. */
export function treeWith(
  make: (request: FileRequest) => OpenFile | Promise<OpenFile>, kernel: KernelVersion = DEFAULT_KERNEL,
): { tree: Tree; dir: Dir } {
  const tree = new Tree(KERNEL_PROFILES[kernel]);
  const dir = tree.root.addDir('dir');
  tree.addFile(dir, 'file', 0o644, make);
  tree.addSymlink(dir, 'link', 'file');
  return { tree, dir };
}

/** Runs with the log collected instead of printed. */
export async function logged(run: () => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  const former = setLogSink(({ level, fields }) => lines.push(`${level} ${String(fields['message'])} ${String(fields['error'])}`));
  try {
    await run();
  } finally {
    setLogSink(former);
  }
  return lines;
}
