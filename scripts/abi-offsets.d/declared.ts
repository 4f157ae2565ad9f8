/**
 * Everything of the kernel's ABI that the project declares: the structs and constants exported by src/abi and mount.
 * The check of them against the C headers (scripts/abi-offsets, test/abi) walks this list, so nothing is left out by accident.
 */
import * as aio from '../../src/abi/aio.js';
import * as errno from '../../src/abi/errno.js';
import * as ioctl from '../../src/abi/ioctl.js';
import * as iommufd from '../../src/abi/iommufd.js';
import * as netlink from '../../src/abi/netlink.js';
import * as pciHeader from '../../src/abi/pci-header.js';
import * as pci from '../../src/abi/pci.js';
import * as seccomp from '../../src/abi/seccomp.js';
import * as serial from '../../src/abi/serial.js';
import * as vfio from '../../src/abi/vfio.js';
import * as fuse from '../../mount/fuse-abi.js';
import { OPERATIONS } from '../../mount/opcodes.js';

/** By path, so that a test can see whether a module is missing. */
export const ABI_MODULES: Readonly<Record<string, object>> = {
  'src/abi/aio.ts': aio, 'src/abi/errno.ts': errno, 'src/abi/ioctl.ts': ioctl, 'src/abi/iommufd.ts': iommufd,
  'src/abi/netlink.ts': netlink, 'src/abi/pci-header.ts': pciHeader, 'src/abi/pci.ts': pci, 'src/abi/seccomp.ts': seccomp,
  'src/abi/serial.ts': serial, 'src/abi/vfio.ts': vfio, 'mount/fuse-abi.ts': fuse,
};

/** Exports that are ours and in no C header, with the reason. */
export const OURS: Readonly<Record<string, string>> = {
  FUSE_MINIMUM_MINOR_VERSION: 'the oldest protocol that the transport speaks',
  IN_BODY: 'where the body of a request begins: sizeof(struct fuse_in_header)',
  OUT_BODY: 'where the body of a reply begins: sizeof(struct fuse_out_header)',
  WORD: 'the size of a __u32 in a reply',
  PCI_CLASS_COMMUNICATION_SERIAL: 'in include/linux/pci_ids.h, which the kernel does not export',
  PCI_CLASS_DISPLAY_VGA: 'likewise',
  pci_header_type0: 'no C struct: configuration space is declared as offsets, and compared with those below',
};

/** Constants whose C name is another, or a macro with an argument. */
export const C_NAMES: Readonly<Record<string, string>> = {
  IOC_NONE: '_IOC_NONE', IOC_READ: '_IOC_READ', IOC_WRITE: '_IOC_WRITE', FUSE_DIRENT_ALIGN: 'FUSE_DIRENT_ALIGN(1)',
  // A flag of the second word, flags2.
  FUSE_NO_EXPORT_SUPPORT: 'FUSE_NO_EXPORT_SUPPORT >> 32',
  // 1 << 31, which is negative in C; all of ours are unsigned.
  VFIO_REGION_TYPE_PCI_VENDOR_TYPE: '(__u32)VFIO_REGION_TYPE_PCI_VENDOR_TYPE',
};

export interface DeclaredStruct {
  readonly tag: string;
  readonly size: number;
  /** [offset, size], bytes. */
  readonly fields: Readonly<Record<string, readonly [offset: number, size: number]>>;
}

export interface Declared {
  /** Numbers in decimal, strings quoted as JSON has them: what C prints. */
  readonly constants: Readonly<Record<string, string>>;
  readonly structs: Readonly<Record<string, DeclaredStruct>>;
}

interface StructLike {
  readonly tag: string;
  readonly size: number;
  readonly fields: Readonly<Record<string, { readonly offset: number; readonly size: number }>>;
}

const isStruct = (value: unknown): value is StructLike => typeof value === 'object' && value !== null && 'tag' in value && 'fields' in value;

const isTable = (value: unknown): value is Record<string, number> =>
  typeof value === 'object' && value !== null && Object.entries(value).every(([key, item]) => /^[A-Z]/.test(key) && typeof item === 'number');

/** The struct's size and fields as the layout has them. */
export function describe(struct: StructLike): DeclaredStruct {
  const fields = Object.fromEntries(Object.entries(struct.fields).map(([name, { offset, size }]) => [name, [offset, size] as const]));
  return { tag: struct.tag, size: struct.size, fields };
}

export function declared(): Declared {
  const constants: Record<string, string> = {};
  const structs: Record<string, DeclaredStruct> = {};
  for (const [name, value] of Object.values(ABI_MODULES).flatMap((module) => Object.entries(module) as [string, unknown][])) {
    if (name in OURS) continue;
    if (typeof value === 'number' || typeof value === 'bigint') constants[name] = String(value);
    else if (typeof value === 'string') constants[name] = JSON.stringify(value);
    else if (isStruct(value)) structs[value.tag] = describe(value);
    else if (isTable(value)) for (const [key, item] of Object.entries(value)) constants[key] = String(item);
  }
  for (const { name, opcode } of OPERATIONS) constants[`FUSE_${name}`] = String(opcode);
  return { constants, structs };
}
