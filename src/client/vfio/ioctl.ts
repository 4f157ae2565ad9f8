/** Ioctls of VFIO and iommufd as a client calls them: a struct goes in, the same struct as the kernel left it comes out. */
import type { Fields, Struct, StructValue } from '../../abi/layout.js';
import {
  VFIO_DEVICE_FEATURE, VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_PROBE, VFIO_DEVICE_FEATURE_SET, vfio_device_feature,
} from '../../abi/vfio.js';
import { ioctlFd } from '../../sys/io.js';

/** A struct that begins with `argsz`, which is filled in. `tail` follows it in memory. Throws Errno. */
export function vfioIoctl<F extends Fields>(
  fd: number, command: number, layout: Struct<F>, values: Partial<StructValue<Struct<F>>> = {}, tail = new Uint8Array(0),
): StructValue<Struct<F>> {
  return layout.decode(callSized(fd, command, layout, { argsz: layout.size + tail.length, ...values }, tail));
}

/** The same for iommufd, whose structs begin with `size`. Throws Errno. */
export function iommuIoctl<F extends Fields>(
  fd: number, command: number, layout: Struct<F>, values: Partial<StructValue<Struct<F>>> = {},
): StructValue<Struct<F>> {
  return layout.decode(callSized(fd, command, layout, { size: layout.size, ...values }, new Uint8Array(0)));
}

/** The bytes after the call: struct and tail. */
export function callSized<F extends Fields>(
  fd: number, command: number, layout: Struct<F>, values: object, tail: Uint8Array,
): Uint8Array {
  const argument = new Uint8Array(layout.size + tail.length);
  layout.patch(argument, values);
  argument.set(tail, layout.size);
  ioctlFd(fd, command, argument);
  return argument;
}

/** VFIO_DEVICE_FEATURE with GET or SET and a struct as payload; returns the payload after the call. Throws Errno. */
export function deviceFeature<F extends Fields>(
  fd: number, operation: 'get' | 'set', feature: number, layout: Struct<F>, values: Partial<StructValue<Struct<F>>> = {},
): StructValue<Struct<F>> {
  const flags = (operation === 'get' ? VFIO_DEVICE_FEATURE_GET : VFIO_DEVICE_FEATURE_SET) | feature;
  const header = { argsz: vfio_device_feature.size + layout.size, flags };
  const data = callSized(fd, VFIO_DEVICE_FEATURE, vfio_device_feature, header, layout.encode(values));
  return layout.decode(data, vfio_device_feature.size);
}

/** SET of a feature without payload. Throws Errno. */
export function setBareFeature(fd: number, feature: number): void {
  vfioIoctl(fd, VFIO_DEVICE_FEATURE, vfio_device_feature, { flags: VFIO_DEVICE_FEATURE_SET | feature });
}

/** Whether the device has the feature with SET (or GET). */
export function probeFeature(fd: number, feature: number, operation = 0): boolean {
  try {
    vfioIoctl(fd, VFIO_DEVICE_FEATURE, vfio_device_feature, { flags: VFIO_DEVICE_FEATURE_PROBE | operation | feature });
    return true;
  } catch {
    return false;
  }
}
