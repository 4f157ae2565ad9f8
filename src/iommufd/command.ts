/**
 * One command of /dev/iommu: number, struct, smallest size, handler; and the generic copy-in and reply.
 * Source: drivers/iommu/iommufd/main.c: iommufd_fops_ioctl().
 */
import { Errno } from '../abi/errno.js';
import type { Fields, Struct, StructValue } from '../abi/layout.js';
import { u32 } from '../abi/layout.js';
import type { Caller } from '../kernfs/caller.js';
import type { Awaitable } from '../kernfs/file.js';
import type { IommufdContext } from './context.js';

export interface CommandCall<S> {
  readonly context: IommufdContext;
  readonly caller: Caller;
  /** The struct as copied in; missing fields are 0. */
  readonly value: StructValue<S>;
  /** iommufd_ucmd_respond(): patches these fields and copies out as much of the struct as the client gave. EFAULT. */
  readonly respond: (values: Partial<StructValue<S>>) => void;
}

export interface Command {
  readonly name: string;
  readonly number: number;
  /** Bytes of the struct. */
  readonly size: number;
  /** Smallest size that the client may give, bytes. */
  readonly minimum: number;
  run(context: IommufdContext, caller: Caller, argument: bigint, userSize: number): Awaitable<void>;
}

/** `last`: the last field that a client must give. */
export function command<F extends Fields>(
  name: string, number: number, layout: Struct<F>, last: keyof F & string, run: (call: CommandCall<Struct<F>>) => Awaitable<void>,
): Command {
  return {
    name, number, size: layout.size, minimum: layout.offsetofend(last),
    run: (context, caller, argument, userSize) => {
      const data = copyStructFromUser(caller, argument, userSize, layout.size);
      return run({
        context, caller, value: layout.decode(data),
        respond: (values) => {
          layout.patch(data, values);
          caller.write(argument, data.subarray(0, Math.min(userSize, layout.size)));
        },
      });
    },
  };
}

/** Bytes that every struct begins with. Throws EFAULT. */
export function userSize(caller: Caller, argument: bigint): number {
  const head = caller.read(argument, u32.size);
  return u32.get(new DataView(head.buffer, head.byteOffset, head.byteLength), 0);
}

/** Bytes of a tail that are looked at; a longer one is refused unseen. */
const TAIL_LIMIT = 1 << 20;

/** copy_struct_from_user(): what the client leaves out is 0; E2BIG when it gives more than we know and that is not all 0. */
function copyStructFromUser(caller: Caller, argument: bigint, given: number, size: number): Uint8Array {
  const tail = given - size;
  for (let done = 0; done < tail;) {
    if (done >= TAIL_LIMIT) throw new Errno('E2BIG', 'too long a tail');
    const part = caller.read(argument + BigInt(size + done), Math.min(4096, tail - done));
    if (part.some((byte) => byte !== 0)) throw new Errno('E2BIG', 'unknown fields are set');
    done += part.length;
  }
  const data = new Uint8Array(size);
  data.set(caller.read(argument, Math.min(given, size)));
  return data;
}
