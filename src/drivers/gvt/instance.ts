/** One created vGPU: its device, and the files that it has in sysfs and debugfs. */
import { Errno } from '../../abi/errno.js';
import { kstrtoul } from '../../device/kstrtox.js';
import type { MdevIdentity, MdevInstance } from '../../mdev/driver.js';
import { ro, rw } from '../../sysfs/attribute.js';
import type { Attribute } from '../../sysfs/attribute.js';
import { bindGroup } from '../../sysfs/group.js';
import type { AttributeGroup } from '../../sysfs/group.js';
import type { GvtDeviceOptions } from './device.js';
import { GvtDevice } from './device.js';
import { isProtocolName } from './protocols.js';
import type { GvtType } from './types.js';

const VGPU_ID = ro<GvtInstance>('vgpu_id', ({ id }) => `${id}\n`);

const word = (data: Uint8Array): string => Buffer.from(data).toString('latin1').replace(/\n$/, '');

/**
 * `dma`: "ADDRESS LENGTH INTERVAL" (IOVA, bytes, ms) starts the DMA engine at sequence number 1, `off` stops it. Reads as the
 * program or `off`, then how many rounds were written and how many accesses found no memory.
 */
const DMA: Attribute<GvtDevice> = rw('dma', ({ card }) => {
  const { address, length, interval, sequence, errors } = card.dma.registers;
  const program = card.dma.running ? `0x${address.toString(16)} 0x${length.toString(16)} ${interval}` : 'off';
  return `${program}\nrounds ${sequence}\nerrors ${errors}\n`;
}, ({ card }, data) => {
  const text = word(data).trim();
  if (text === 'off') return card.dma.stop();
  const [address = '', length = '', interval = '', ...rest] = text.split(/[ \t]+/);
  if (rest.length > 0) throw new Errno('EINVAL');
  const program = { address: kstrtoul(address), length: kstrtoul(length), interval: kstrtoul(interval) };
  if (program.interval > 0x7fff_ffffn) throw new Errno('EINVAL');
  card.dma.start({ ...program, interval: Number(program.interval) });
});

/** `protocol`: the generation of the migration protocol; can be changed while nobody has the device open. */
const PROTOCOL: Attribute<GvtDevice> = rw('protocol', ({ protocol }) => `${protocol}\n`, (device, data) => {
  const name = word(data);
  if (!isProtocolName(name)) throw new Errno('EINVAL');
  device.setProtocol(name);
});

export class GvtInstance implements MdevInstance {
  readonly vfio: GvtDevice;
  /** Number among the GPU's vGPUs, from 1. */
  readonly id: number;
  readonly #giveBack: () => void;

  /** `giveBack` returns what the vGPU has of the GPU. */
  constructor(identity: MdevIdentity, type: GvtType, id: number, options: GvtDeviceOptions, giveBack: () => void) {
    this.id = id;
    this.#giveBack = giveBack;
    this.vfio = new GvtDevice(type, options, () => identity.notify?.('migration_block'));
  }

  /** The driver's own directory `intel_vgpu`, and the lab's `migration_block`. */
  get groups(): readonly AttributeGroup[] {
    return [bindGroup(this, [VGPU_ID], 'intel_vgpu'), this.vfio.controls.group];
  }

  get debugfs(): NonNullable<MdevInstance['debugfs']> {
    return this.vfio.controls.debugfs(this.vfio, [bindGroup(this.vfio, [DMA, PROTOCOL])]);
  }

  remove(): void {
    this.#giveBack();
  }
}
