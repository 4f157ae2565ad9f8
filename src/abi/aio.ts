/** Linux asynchronous I/O, as far as an eventfd can be signalled with it. Source: include/uapi/linux/aio_abi.h. */
import { s64, struct, u16, u32, u64 } from './layout.js';

export const IOCB_CMD_PREAD = 0;
export const IOCB_FLAG_RESFD = 1;

/** aio_key and aio_rw_flags in the order of a little-endian machine; aio_reqprio is an __s16 that stays 0. */
export const iocb = struct('iocb', {
  aio_data: u64, aio_key: u32, aio_rw_flags: u32, aio_lio_opcode: u16, aio_reqprio: u16, aio_fildes: u32, aio_buf: u64,
  aio_nbytes: u64, aio_offset: s64, aio_reserved2: u64, aio_flags: u32, aio_resfd: u32,
});

export const io_event = struct('io_event', { data: u64, obj: u64, res: s64, res2: s64 });
