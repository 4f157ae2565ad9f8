/** UUIDs as the kernel reads them. Source: lib/uuid.c: guid_parse(). */
import { Errno } from '../abi/errno.js';

/** UUID_STRING_LEN */
export const UUID_STRING_LEN = 36;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function isUuid(text: string): boolean {
  return UUID.test(text.toLowerCase());
}

/**
 * What `create` takes, drivers/vfio/mdev/mdev_sysfs.c: create_store(): 36 bytes, and one more that is not looked at. Any
 * version and variant. Returns the UUID in lower case; throws EINVAL.
 */
export function parseCreate(data: Uint8Array): string {
  if (data.length < UUID_STRING_LEN || data.length > UUID_STRING_LEN + 1) throw new Errno('EINVAL');
  const text = Buffer.from(data.buffer, data.byteOffset, UUID_STRING_LEN).toString('latin1').toLowerCase();
  if (!UUID.test(text)) throw new Errno('EINVAL');
  return text;
}
