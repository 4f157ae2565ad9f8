/** IOMMU_IOAS_*, IOMMU_OPTION and IOMMU_VFIO_IOAS. Source: drivers/iommu/iommufd/{ioas,main,vfio_compat}.c. */
import { Errno } from '../abi/errno.js';
import {
  IOMMU_IOAS_ALLOC, IOMMU_IOAS_ALLOW_IOVAS, IOMMU_IOAS_COPY, IOMMU_IOAS_IOVA_RANGES, IOMMU_IOAS_MAP, IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE, IOMMU_IOAS_MAP_WRITEABLE, IOMMU_IOAS_UNMAP, IOMMU_OPTION, IOMMU_OPTION_HUGE_PAGES, IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET, IOMMU_OPTION_RLIMIT_MODE, IOMMU_VFIO_IOAS, IOMMU_VFIO_IOAS_CLEAR, IOMMU_VFIO_IOAS_GET, IOMMU_VFIO_IOAS_SET,
  iommu_ioas_alloc, iommu_ioas_allow_iovas, iommu_ioas_copy, iommu_ioas_iova_ranges, iommu_ioas_map, iommu_ioas_unmap,
  iommu_iova_range, iommu_option, iommu_vfio_ioas,
} from '../abi/iommufd.js';
import type { Caller } from '../kernfs/caller.js';
import { command } from './command.js';
import type { Command, CommandCall } from './command.js';
import type { IommufdContext } from './context.js';
import { IovaMap, IOVA_MAX, IOVA_READ, IOVA_WRITE } from './iova-map.js';
import type { IovaRange } from './iova-map.js';
import { Ioas } from './ioas.js';
import type { Pages } from './ioas.js';

const MAP_FLAGS = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE;

const ioasOf = (context: IommufdContext, id: number): Ioas => context.objects.get(id, Ioas);

/** Reserved fields and unknown flags: EOPNOTSUPP, unlike VFIO's EINVAL. */
function supported(condition: boolean): void {
  if (!condition) throw new Errno('EOPNOTSUPP');
}

function protOf(flags: number): number {
  if ((flags & (IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)) === 0) throw new Errno('EINVAL', 'neither readable nor writable');
  return ((flags & IOMMU_IOAS_MAP_READABLE) === 0 ? 0 : IOVA_READ) | ((flags & IOMMU_IOAS_MAP_WRITEABLE) === 0 ? 0 : IOVA_WRITE);
}

/** iopt_map_user_pages()'s view of the client's memory. */
export function userPages(caller: Caller, vaddr: bigint, length: bigint, prot: number): Pages {
  if (vaddr + length > IOVA_MAX) throw new Errno('EOVERFLOW');
  if (length === 0n) throw new Errno('EINVAL');
  return { memory: caller.memory(), vaddr, length, writable: (prot & IOVA_WRITE) !== 0 };
}

function alloc({ context, value, respond }: CommandCall<typeof iommu_ioas_alloc>): void {
  supported(value.flags === 0);
  const ioas = context.objects.add(new Ioas());
  try {
    respond({ out_ioas_id: ioas.id });
  } catch (error) {
    context.objects.remove(ioas.id);
    throw error;
  }
}

/** There are no reserved regions, so the one range is everything. */
function iovaRanges({ context, caller, value, respond }: CommandCall<typeof iommu_ioas_iova_ranges>): void {
  supported(value.__reserved === 0);
  const ioas = ioasOf(context, value.ioas_id);
  if (value.num_iovas > 0) caller.write(value.allowed_iovas, iommu_iova_range.encode({ start: 0n, last: IOVA_MAX }));
  respond({ num_iovas: 1, out_iova_alignment: ioas.alignment });
  if (value.num_iovas < 1) throw new Errno('EMSGSIZE', 'one range is there');
}

/** Ranges read at once, so that a claimed 2^32 of them ends at the first that can't be read. */
const RANGES_AT_ONCE = 256;

function allowIovas({ context, caller, value }: CommandCall<typeof iommu_ioas_allow_iovas>): void {
  supported(value.__reserved === 0);
  const ioas = ioasOf(context, value.ioas_id);
  const allowed = new IovaMap<IovaRange>();
  for (let done = 0; done < value.num_iovas; done += RANGES_AT_ONCE) {
    const count = Math.min(RANGES_AT_ONCE, value.num_iovas - done);
    const data = caller.read(value.allowed_iovas + BigInt(done * iommu_iova_range.size), count * iommu_iova_range.size);
    for (let n = 0; n < count; n++) {
      const { start, last } = iommu_iova_range.decode(data, n * iommu_iova_range.size);
      if (start >= last || allowed.first(start, last) !== undefined) throw new Errno('EINVAL', 'empty or overlapping range');
      allowed.insert({ iova: start, last });
    }
  }
  ioas.allowed = [...allowed.values()];
}

function map({ context, caller, value, respond }: CommandCall<typeof iommu_ioas_map>): void {
  supported((value.flags & ~MAP_FLAGS) === 0 && value.__reserved === 0);
  if (value.iova === IOVA_MAX || value.length === IOVA_MAX) throw new Errno('EOVERFLOW');
  const prot = protOf(value.flags);
  const ioas = ioasOf(context, value.ioas_id);
  const pages = [userPages(caller, value.user_va, value.length, prot)];
  const fixed = (value.flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
  respond({ iova: ioas.map(pages, prot, fixed ? value.iova : undefined) });
}

function copy({ context, value, respond }: CommandCall<typeof iommu_ioas_copy>): void {
  supported((value.flags & ~MAP_FLAGS) === 0);
  if (value.length === IOVA_MAX || value.dst_iova === IOVA_MAX) throw new Errno('EOVERFLOW');
  const prot = protOf(value.flags);
  const pages = ioasOf(context, value.src_ioas_id).pages(value.src_iova, value.length);
  const target = ioasOf(context, value.dst_ioas_id);
  const fixed = (value.flags & IOMMU_IOAS_MAP_FIXED_IOVA) !== 0;
  respond({ dst_iova: target.map(pages, prot, fixed ? value.dst_iova : undefined) });
}

function unmap({ context, value, respond }: CommandCall<typeof iommu_ioas_unmap>): void {
  const ioas = ioasOf(context, value.ioas_id);
  if (value.iova === 0n && value.length === IOVA_MAX) {
    respond({ length: ioas.unmapAll() });
    return;
  }
  if (value.iova === IOVA_MAX || value.length === IOVA_MAX) throw new Errno('EOVERFLOW');
  respond({ length: ioas.unmap(value.iova, value.length) });
}

function option({ context, value, respond }: CommandCall<typeof iommu_option>): void {
  supported(value.__reserved === 0);
  const access = OPTIONS[value.option_id]?.(context, value.object_id);
  if (access === undefined) throw new Errno('EOPNOTSUPP');
  if (value.op === IOMMU_OPTION_OP_GET) {
    respond({ val64: access.get() });
  } else if (value.op === IOMMU_OPTION_OP_SET) {
    if (value.val64 > 1n) throw new Errno('EINVAL');
    access.set(value.val64);
    respond({});
  } else {
    throw new Errno('EOPNOTSUPP');
  }
}

interface OptionAccess {
  get(): bigint;
  set(value: bigint): void;
}

const OPTIONS: Record<number, (context: IommufdContext, objectId: number) => OptionAccess> = {
  [IOMMU_OPTION_RLIMIT_MODE]: (context, objectId) => {
    supported(objectId === 0);
    return {
      get: () => context.rlimitMode,
      set: (value) => {
        if (!context.objects.empty) throw new Errno('EBUSY', 'objects exist');
        context.rlimitMode = value;
      },
    };
  },
  [IOMMU_OPTION_HUGE_PAGES]: (context, objectId) => {
    const ioas = ioasOf(context, objectId);
    return { get: () => (ioas.hugePages ? 1n : 0n), set: (value) => ioas.setHugePages(value !== 0n) };
  },
};

function vfioIoas({ context, value, respond }: CommandCall<typeof iommu_vfio_ioas>): void {
  supported(value.__reserved === 0);
  switch (value.op) {
    case IOMMU_VFIO_IOAS_GET:
      if (context.vfioIoas === undefined) throw new Errno('ENODEV', 'no IOAS is set for VFIO');
      respond({ ioas_id: context.vfioIoas.id });
      return;
    case IOMMU_VFIO_IOAS_SET:
      context.vfioIoas = ioasOf(context, value.ioas_id);
      return;
    case IOMMU_VFIO_IOAS_CLEAR:
      context.vfioIoas = undefined;
      return;
    default:
      throw new Errno('EOPNOTSUPP');
  }
}

export const IOAS_COMMANDS: readonly Command[] = [
  command('IOMMU_IOAS_ALLOC', IOMMU_IOAS_ALLOC, iommu_ioas_alloc, 'out_ioas_id', alloc),
  command('IOMMU_IOAS_ALLOW_IOVAS', IOMMU_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas, 'allowed_iovas', allowIovas),
  command('IOMMU_IOAS_COPY', IOMMU_IOAS_COPY, iommu_ioas_copy, 'src_iova', copy),
  command('IOMMU_IOAS_IOVA_RANGES', IOMMU_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges, 'out_iova_alignment', iovaRanges),
  command('IOMMU_IOAS_MAP', IOMMU_IOAS_MAP, iommu_ioas_map, 'iova', map),
  command('IOMMU_IOAS_UNMAP', IOMMU_IOAS_UNMAP, iommu_ioas_unmap, 'length', unmap),
  command('IOMMU_OPTION', IOMMU_OPTION, iommu_option, 'val64', option),
  command('IOMMU_VFIO_IOAS', IOMMU_VFIO_IOAS, iommu_vfio_ioas, '__reserved', vfioIoas),
];
