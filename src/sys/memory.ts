/** Anonymous shared memory, mapped for as long as the process lives or until close(). Source: mm/memfd.c, mm/mmap.c. */
import koffi from 'koffi';
import { Errno } from '../abi/errno.js';
import { Fd } from './fd.js';
import { bind, check, lastErrno } from './libc.js';

const cMemfdCreate = bind('memfd_create', 'int', ['string', 'uint']);
const cFtruncate = bind('ftruncate', 'int', ['int', 'long']);
const cMmap = bind('mmap', 'long', ['pointer', 'size', 'int', 'int', 'int', 'long']);
const cMunmap = bind('munmap', 'int', ['pointer', 'size']);

const MFD_CLOEXEC = 1;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

export interface MappedMemory {
  /** The memory itself: a write is seen by everyone who maps or reads it. Never used after close(). */
  readonly bytes: Uint8Array;
  /** Where it is mapped in this process. */
  readonly address: bigint;
  readonly fd: Fd;
  close(): void;
}

/** memfd_create(2) of `size` bytes (a multiple of the page size), all zero, mapped shared. Throws ENOMEM, EMFILE. */
export function createMemfd(name: string, size: number): MappedMemory {
  const fd = new Fd(check(cMemfdCreate(name, MFD_CLOEXEC), 'memfd_create'));
  try {
    check(cFtruncate(fd.fd, size), 'ftruncate');
    const mapped = cMmap(null, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.fd, 0);
    if (mapped === -1) throw Errno.fromNumber(lastErrno(), 'mmap');
    const address = BigInt(mapped);
    return {
      bytes: new Uint8Array(koffi.view(address, size)), address, fd,
      close: () => {
        if (fd.closed) return;
        cMunmap(address, size);
        fd.close();
      },
    };
  } catch (error) {
    fd.close();
    throw error;
  }
}

const cLseek = bind('lseek', 'long', ['int', 'long', 'int']);
const cFallocate = bind('fallocate', 'int', ['int', 'int', 'long', 'long']);
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;

/** Parts of a memfd that were ever written, as [start, end) in bytes; the rest reads as zero and takes no memory. */
export function writtenRanges(fd: number, size: number): [number, number][] {
  const ranges: [number, number][] = [];
  for (let at = 0; at < size;) {
    const start = cLseek(fd, at, SEEK_DATA);
    if (start < 0) {
      if (lastErrno() === ENXIO) break;
      throw Errno.fromNumber(lastErrno(), 'lseek');
    }
    const end = check(cLseek(fd, start, SEEK_HOLE), 'lseek');
    ranges.push([start, Math.min(end, size)]);
    at = end;
  }
  return ranges;
}

/** Makes a part of a memfd zero again, and gives its memory back; whole pages. */
export function punchHole(fd: number, offset: number, length: number): void {
  check(cFallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length), 'fallocate');
}
