/**
 * What the RFC's stream has of configuration space, big-endian: six BARs, the MSI address (two words where it has 64 bits), the
 * MSI data. A device without MSI has no words for it. Source: hw/vfio/pci.c: vfio_put, vfio_get of vfio_vmstate_info.
 */
import {
  PCI_BASE_ADDRESS_0, PCI_CAP_ID_MSI, PCI_MSI_ADDRESS_HI, PCI_MSI_ADDRESS_LO, PCI_MSI_DATA_32, PCI_MSI_DATA_64, PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT, PCI_MSI_FLAGS_ENABLE, PCI_STD_NUM_BARS,
} from '../../abi/pci.js';
import type { VfioPciDevice } from '../vm/device.js';
import { VfioError } from '../vm/device.js';

type Config = VfioPciDevice['config'];
interface Word {
  readonly offset: number;
  readonly width: 2 | 4;
}

/** In the order of the stream. */
function words(config: Config, msi: number | undefined): readonly Word[] {
  const bars = Array.from({ length: PCI_STD_NUM_BARS }, (_, n): Word => ({ offset: PCI_BASE_ADDRESS_0 + 4 * n, width: 4 }));
  if (msi === undefined) return bars;
  const wide = (config.get(msi + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_64BIT) !== 0;
  return [
    ...bars, { offset: msi + PCI_MSI_ADDRESS_LO, width: 4 },
    ...(wide ? [{ offset: msi + PCI_MSI_ADDRESS_HI, width: 4 } as const] : []),
    { offset: msi + (wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), width: 2 },
  ];
}

export function encodeRfcConfig({ config }: Pick<VfioPciDevice, 'config'>): Uint8Array {
  const values = words(config, config.capability(PCI_CAP_ID_MSI)).map(({ offset, width }) => config.get(offset, width));
  const data = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, n) => data.setUint32(4 * n, value));
  return new Uint8Array(data.buffer);
}

/** Throws VfioError for a stream of another kind of device, Errno. MSI is off while it is set. */
export function loadRfcConfig({ config, name }: Pick<VfioPciDevice, 'config' | 'name'>, payload: Uint8Array): void {
  const msi = config.capability(PCI_CAP_ID_MSI);
  const targets = words(config, msi);
  if (payload.length !== 4 * targets.length) throw new VfioError(`${name}: Failed to load device config space`);
  const data = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const flags = msi === undefined ? 0 : config.get(msi + PCI_MSI_FLAGS, 2);
  if (msi !== undefined) config.write(msi + PCI_MSI_FLAGS, flags & ~PCI_MSI_FLAGS_ENABLE, 2);
  targets.forEach(({ offset, width }, n) => config.write(offset, data.getUint32(4 * n), width));
  if (msi !== undefined) config.write(msi + PCI_MSI_FLAGS, flags, 2);
}
