/**
 * Uevents as systemd-udevd passes them on when its rules are done, for listeners that have udev's libraries. The format is between those
 * libraries and udevd. Source: systemd's src/libsystemd/sd-device/device-monitor.c.
 */
import { bytes, struct, u32 } from '../abi/layout.js';
import { nulTerminated, ueventEnvironment } from '../device/uevent.js';
import type { Uevent } from '../device/uevent.js';
import { murmurHash2 } from './murmur-hash2.js';

/** The magic number, the hashes and the bloom filter of tags are in network order. */
const monitor_netlink_header = struct('monitor_netlink_header', {
  prefix: bytes(8), magic: u32, header_size: u32, properties_off: u32, properties_len: u32, filter_subsystem_hash: u32,
  filter_devtype_hash: u32, filter_tag_bloom_hi: u32, filter_tag_bloom_lo: u32,
});
const PREFIX = Buffer.from('libudev\0');
const UDEV_MONITOR_MAGIC = 0xfeedcafe;

/** htonl() */
function networkOrder(word: number): number {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(word);
  return data.readUInt32LE();
}

const hash = (text: string | undefined): number => (text === undefined ? 0 : networkOrder(murmurHash2(Buffer.from(text))));

/** Names of device nodes are whole paths there. */
const asUdevSays = (variable: string): string => variable.replace(/^DEVNAME=(?!\/)/, 'DEVNAME=/dev/');

/** `now` is the time since the machine's start in microseconds, at which udevd saw the device first. */
export function udevMessage(event: Uevent, now: bigint): Uint8Array {
  const variables = ueventEnvironment(event).map(asUdevSays);
  const devtype = variables.find((variable) => variable.startsWith('DEVTYPE='))?.slice('DEVTYPE='.length);
  const properties = Buffer.from(nulTerminated([...variables, `SEQNUM=${event.seqnum}`, `USEC_INITIALIZED=${now}`]));
  return Buffer.concat([monitor_netlink_header.encode({
    prefix: PREFIX, magic: networkOrder(UDEV_MONITOR_MAGIC), header_size: monitor_netlink_header.size,
    properties_off: monitor_netlink_header.size, properties_len: properties.length,
    filter_subsystem_hash: hash(event.subsystem), filter_devtype_hash: hash(devtype),
  }), properties]);
}
