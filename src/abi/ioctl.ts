/** Ioctl numbers. Source: include/uapi/asm-generic/ioctl.h. */
const IOC_NRSHIFT = 0;
const IOC_TYPESHIFT = 8;
const IOC_SIZESHIFT = 16;
const IOC_DIRSHIFT = 30;
export const IOC_NONE = 0;
export const IOC_WRITE = 1;
export const IOC_READ = 2;

/** An unsigned 32-bit ioctl command. */
export function ioc(direction: number, type: number, number: number, size: number): number {
  return ((direction << IOC_DIRSHIFT) | (size << IOC_SIZESHIFT) | (type << IOC_TYPESHIFT) | (number << IOC_NRSHIFT)) >>> 0;
}
export const io = (type: number, number: number): number => ioc(IOC_NONE, type, number, 0);
