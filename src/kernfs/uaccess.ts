/**
 * Structs in the caller's memory (include/linux/uaccess.h), and VFIO's way of passing them: a struct begins with `argsz`, is copied in
 * once and is never looked at again after it was checked.
 *
 * A struct grows over the years: `through` is the last field that every version has (the kernel's minsz); what a longer argsz
 * holds beyond it is ignored.
 */
import { Errno } from '../abi/errno.js';
import type { Fields, Struct, StructValue } from '../abi/layout.js';
import type { CallerMemory } from './caller.js';

/**
 * copy_from_user() of the struct up to and with the field `through`; later fields are zero. Throws EFAULT where it can't be
 * read, EINVAL where argsz is smaller than that.
 */
export function copyArgument<F extends Fields>(
  memory: CallerMemory, address: bigint, layout: Struct<F>, through: keyof F & string,
): StructValue<Struct<F>> {
  const size = layout.offsetofend(through);
  const data = copyIn(memory, address, size, layout.size);
  const value = layout.decode(data);
  if ((value as { readonly argsz: number }).argsz < size) throw new Errno('EINVAL', 'argsz');
  return value;
}

/** The `length` bytes at `address`, in a buffer of `size` bytes. */
export function copyIn(memory: CallerMemory, address: bigint, length: number, size = length): Uint8Array {
  const data = readAt(memory, address, length);
  if (data.length === size) return data;
  const padded = new Uint8Array(size);
  padded.set(data);
  return padded;
}

/** A whole struct without argsz. */
export function copyStruct<F extends Fields>(memory: CallerMemory, address: bigint, layout: Struct<F>): StructValue<Struct<F>> {
  return layout.decode(readAt(memory, address, layout.size));
}

/** copy_to_user() of the struct up to and with the field `through`. */
export function copyOut<F extends Fields>(
  memory: CallerMemory, address: bigint, layout: Struct<F>, value: Partial<StructValue<Struct<F>>>, through?: keyof F & string,
): void {
  const data = layout.encode(value);
  memory.write(address, through === undefined ? data : data.subarray(0, layout.offsetofend(through)));
}

/** Addresses wrap nowhere: a range that leaves the address space is EFAULT. */
function readAt(memory: CallerMemory, address: bigint, length: number): Uint8Array {
  if (address + BigInt(length) > ADDRESS_END) throw new Errno('EFAULT');
  return memory.read(address, length);
}
const ADDRESS_END = 1n << 64n;

/**
 * access_ok(): whether a range lies in the part of the address space that processes have. Bigger than on any machine (5-level
 * page tables, 2^56), so what is let through here still may be EFAULT.
 */
export function isUserRange(address: bigint, length: bigint): boolean {
  return address + length <= 1n << 56n;
}
