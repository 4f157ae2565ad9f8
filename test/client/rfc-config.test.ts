/** BARs and MSI in the RFC's stream, and where capabilities are. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  PCI_BASE_ADDRESS_0, PCI_CAPABILITY_LIST, PCI_CAP_ID_MSI, PCI_CAP_ID_PM, PCI_MSI_ADDRESS_HI, PCI_MSI_ADDRESS_LO, PCI_MSI_DATA_32,
  PCI_MSI_DATA_64, PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT, PCI_MSI_FLAGS_ENABLE, PCI_STATUS, PCI_STATUS_CAP_LIST,
} from '../../src/abi/pci.js';
import { encodeRfcConfig, loadRfcConfig } from '../../src/client/migration/rfc-config.js';
import { ConfigSpace } from '../../src/client/vfio/config-space.js';
import type { Region } from '../../src/client/vfio/regions.js';

const MSI = 0x60;

/** A device whose configuration space takes everything. */
class Memory {
  readonly bytes = new Uint8Array(256);
  readonly writes: string[] = [];
  readonly size = 256;

  read(offset: number, length: number): Uint8Array {
    return this.bytes.slice(offset, offset + length);
  }
  write(offset: number, data: Uint8Array): void {
    this.bytes.set(data, offset);
    this.writes.push(`${offset.toString(16)}=${Buffer.from(data).reverse().toString('hex')}`);
  }
}

/** `flags`: of MSI; undefined for a device without. */
function device(flags: number | undefined): { readonly name: string; readonly config: ConfigSpace; readonly memory: Memory } {
  const memory = new Memory();
  const view = new DataView(memory.bytes.buffer);
  if (flags !== undefined) {
    view.setUint16(PCI_STATUS, PCI_STATUS_CAP_LIST, true);
    memory.bytes.set([0x50], PCI_CAPABILITY_LIST);
    memory.bytes.set([PCI_CAP_ID_PM, MSI], 0x50);
    memory.bytes.set([PCI_CAP_ID_MSI, 0], MSI);
    view.setUint16(MSI + PCI_MSI_FLAGS, flags, true);
  }
  const config = new ConfigSpace(memory as unknown as Region);
  memory.writes.length = 0;
  return { name: 'vf0', config, memory };
}

function program({ config }: { readonly config: ConfigSpace }, wide: boolean): void {
  for (let n = 0; n < 6; n++) config.write(PCI_BASE_ADDRESS_0 + 4 * n, 0xe000_0000 + n, 4);
  config.write(MSI + PCI_MSI_ADDRESS_LO, 0xfee0_1000, 4);
  if (wide) config.write(MSI + PCI_MSI_ADDRESS_HI, 0x12, 4);
  config.write(MSI + (wide ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), 0x4041, 2);
}

const BARS = 'e0000000e0000001e0000002e0000003e0000004e0000005';

describe('configuration space in the RFC\'s stream', () => {
  for (const [what, flags, expected] of [
    ['an address of 64 bits', PCI_MSI_FLAGS_64BIT, `${BARS}fee010000000001200004041`],
    ['an address of 32 bits', 0, `${BARS}fee0100000004041`],
  ] as const) {
    it(`is BARs, MSI address and data, big-endian; ${what}`, () => {
      const source = device(flags);
      program(source, flags !== 0);
      const stream = encodeRfcConfig(source);
      assert.equal(Buffer.from(stream).toString('hex'), expected);
      const target = device(flags | PCI_MSI_FLAGS_ENABLE);
      loadRfcConfig(target, stream);
      assert.deepEqual(encodeRfcConfig(target), stream);
      // Off before anything of it changes, and as it was in the end.
      const at = (MSI + PCI_MSI_FLAGS).toString(16);
      const word = (value: number): string => `${at}=${value.toString(16).padStart(4, '0')}`;
      assert.deepEqual([target.memory.writes[0], target.memory.writes.at(-1)], [word(flags), word(flags | PCI_MSI_FLAGS_ENABLE)]);
    });
  }

  it('is BARs alone without MSI, and refused by a device that has it', () => {
    const stream = encodeRfcConfig(device(undefined));
    assert.equal(stream.length, 24);
    const error = { message: 'vf0: Failed to load device config space' };
    assert.throws(() => loadRfcConfig(device(PCI_MSI_FLAGS_64BIT), stream), error);
    assert.throws(() => loadRfcConfig(device(undefined), stream.subarray(1)), error);
  });

  it('finds capabilities, and an end in a list that has none', () => {
    const { config } = device(0);
    assert.deepEqual([config.capability(PCI_CAP_ID_PM), config.capability(PCI_CAP_ID_MSI), config.capability(0x11)], [0x50, MSI, undefined]);
    config.write(MSI + 1, 0x50, 1);
    assert.equal(config.capability(0x11), undefined);
    assert.equal(device(undefined).config.capability(PCI_CAP_ID_PM), undefined);
  });
});
