/** A piece of memory for one of the calls that take several. Source: include/uapi/linux/uio.h. */
import { struct, u64 } from '../abi/layout.js';
import { addressOf } from './libc.js';

const iovec = struct('iovec', { iov_base: u64, iov_len: u64 });

/** `data` must live until the call returns. */
export const encodeIovec = (data: Uint8Array): Uint8Array => iovec.encode({ iov_base: addressOf(data), iov_len: BigInt(data.length) });
