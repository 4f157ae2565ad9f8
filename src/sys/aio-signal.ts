/**
 * Makes the kernel signal an eventfd, with its own eventfd_signal(): an asynchronous read of nothing from it fails at once, and
 * that this is done is said on that same eventfd. A write(2) could wait, for whoever shares the eventfd can make it blocking and
 * fill it. Source: fs/aio.c: aio_read(), aio_complete().
 */
import { io_event, iocb, IOCB_CMD_PREAD, IOCB_FLAG_RESFD } from '../abi/aio.js';
import { ERRNO, Errno } from '../abi/errno.js';
import { addressOf, lastErrno, syscall, syscallNumber } from './libc.js';

const IO_SETUP = syscallNumber('io_setup');
const IO_SUBMIT = syscallNumber('io_submit');
const IO_GETEVENTS = syscallNumber('io_getevents');

/** Completions that are kept before they are read and dropped. */
const EVENTS = 32;
const { aio_fildes, aio_resfd } = iocb.fields;

export class AioSignal {
  readonly #context: bigint;
  readonly #request: DataView;
  readonly #list: BigUint64Array;
  readonly #listAddress: bigint;
  readonly #events = new Uint8Array(EVENTS * io_event.size);

  private constructor(context: bigint) {
    const request = iocb.encode({ aio_lio_opcode: IOCB_CMD_PREAD, aio_flags: IOCB_FLAG_RESFD });
    this.#context = context;
    this.#request = new DataView(request.buffer);
    this.#list = new BigUint64Array([addressOf(request)]);
    this.#listAddress = address(this.#list);
  }

  /** The process keeps it for good. Throws where the kernel has no AIO, or gives no more of it (fs.aio-max-nr, a seccomp filter). */
  static create(): AioSignal {
    const context = new BigUint64Array(1);
    const result = syscall(IO_SETUP, EVENTS, address(context), 0, 0, 0, 0);
    if (result < 0) throw Errno.fromNumber(lastErrno(), 'io_setup');
    return new AioSignal(context[0] ?? 0n);
  }

  /**
   * Adds one; a counter of 2^64-1 stays so. Throws EBADF, and EINVAL where it is no eventfd, or the kernel is older than 5.8.
   */
  signal(eventfd: number): void {
    this.#request.setUint32(aio_fildes.offset, eventfd, true);
    this.#request.setUint32(aio_resfd.offset, eventfd, true);
    if (this.#submit()) return;
    syscall(IO_GETEVENTS, this.#context, 0, EVENTS, addressOf(this.#events), 0, 0);
    if (!this.#submit()) throw new Errno('EAGAIN', 'io_submit');
  }

  /** False where completions must be taken out first. */
  #submit(): boolean {
    if (syscall(IO_SUBMIT, this.#context, 1, this.#listAddress, 0, 0, 0) >= 0) return true;
    const errno = lastErrno();
    if (errno === ERRNO.EAGAIN) return false;
    throw Errno.fromNumber(errno, 'io_submit');
  }
}

const address = (words: BigUint64Array): bigint => addressOf(new Uint8Array(words.buffer));
