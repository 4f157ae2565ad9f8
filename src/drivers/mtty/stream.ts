/**
 * The migration stream of an mtty card: a header of 24 bytes, then 36 bytes for each port of the type, little-endian.
 * samples/vfio-mdev/mtty.c: mtty_data_size(), mtty_save_device_data(), mtty_resume_write(), mtty_load_state().
 */
import { Errno } from '../../abi/errno.js';
import { MTTY_MAGIC, MTTY_MAJOR_VER, MTTY_MINOR_VER, mtty_data, serial_port } from './serial-port.js';
import type { Uart } from './uart.js';

/** Bytes in the header: what PRE_COPY offers. */
export const HEADER_SIZE = mtty_data.size;

/** Bytes in the whole stream: 60 for one port, 96 for two. */
export function streamSize(ports: number): number {
  return HEADER_SIZE + ports * serial_port.size;
}

export function encodeHeader(ports: number): Uint8Array {
  return mtty_data.encode({ magic: MTTY_MAGIC, major_ver: MTTY_MAJOR_VER, minor_ver: MTTY_MINOR_VER, nr_ports: ports });
}

/** Throws EFAULT where the header is not one of a card with that many ports. */
export function checkHeader(header: Uint8Array, ports: number): void {
  const found = mtty_data.decode(header);
  if (found.magic !== MTTY_MAGIC || found.flags !== 0 || found.major_ver !== MTTY_MAJOR_VER
    || found.minor_ver !== MTTY_MINOR_VER || found.nr_ports !== ports) {
    throw new Errno('EFAULT', 'not the header of an mtty stream for this type');
  }
}

/** The part after the header, as the ports are now. */
export function encodePorts(uarts: readonly Uart[]): Uint8Array {
  const data = new Uint8Array(uarts.length * serial_port.size);
  uarts.forEach((uart, n) => data.set(uart.save(), n * serial_port.size));
  return data;
}

/** Loads a whole stream; its header has been looked at before. Throws EINVAL, with nothing changed, where it is too short. */
export function loadPorts(uarts: readonly Uart[], stream: Uint8Array): void {
  if (stream.length < streamSize(uarts.length)) {
    throw new Errno('EINVAL', `${stream.length} of ${streamSize(uarts.length)} bytes of device state`);
  }
  uarts.forEach((uart, n) => uart.load(stream.subarray(streamSize(n), streamSize(n + 1))));
}
