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
