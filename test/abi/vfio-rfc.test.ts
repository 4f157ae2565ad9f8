/** The RFC's structs and numbers against a C compiler: no installed header has them, so the text is here, as it was proposed. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Struct } from '../../src/abi/layout.js';
import * as rfc from '../../src/abi/vfio-rfc.js';

const HEADER = `
#include <stddef.h>
#include <stdio.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#define VFIO_TYPE (';')
#define VFIO_BASE 100
#define VFIO_DEVICE_PCI_STATUS_SET _IO(VFIO_TYPE, VFIO_BASE + 14)
#define VFIO_DEVICE_PCI_GET_DIRTY_BITMAP _IO(VFIO_TYPE, VFIO_BASE + 15)
#define VFIO_IOMMU_GET_DIRTY_BITMAP _IO(VFIO_TYPE, VFIO_BASE + 17)
#define VFIO_REGION_TYPE_PCI_VENDOR_INTEL ((1U << 31) | 0x8086)
#define VFIO_REGION_TYPE_DEVICE_STATE (1 << 30)
#define VFIO_DEVICE_PCI_STOP (1 << 0)
#define VFIO_DEVICE_PCI_START (1 << 1)
struct vfio_device_status_set { __u32 argsz; __u32 flags; };
struct vfio_pci_get_dirty_bitmap { __u64 start_addr; __u64 page_nr; __u8 dirty_bitmap[]; };
struct vfio_iommu_get_dirty_bitmap { __u64 start_addr; __u64 page_nr; __u8 dirty_bitmap[]; };
#define BITS_TO_LONGS(n) (((n) + 63) / 64)
`;
const NUMBERS = [
  'VFIO_DEVICE_PCI_STATUS_SET', 'VFIO_DEVICE_PCI_GET_DIRTY_BITMAP', 'VFIO_IOMMU_GET_DIRTY_BITMAP',
  'VFIO_REGION_TYPE_PCI_VENDOR_INTEL', 'VFIO_REGION_TYPE_DEVICE_STATE', 'VFIO_DEVICE_PCI_STOP', 'VFIO_DEVICE_PCI_START',
] as const;
const STRUCTS: readonly Pick<Struct<Record<never, never>>, 'tag' | 'size' | 'fields'>[] =
  [rfc.vfio_device_status_set, rfc.vfio_pci_get_dirty_bitmap, rfc.vfio_iommu_get_dirty_bitmap];
const PAGES = [0, 1, 63, 64, 65, 16_384];

const noCompiler = ((): string | false => {
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore', timeout: 20_000 });
    return false;
  } catch {
    return 'no gcc';
  }
})();

test('structs and numbers are what C makes of the proposed text', { skip: noCompiler }, () => {
  const print = (expression: string): string => `printf("%llu\\n", (unsigned long long)(${expression}));`;
  const wanted: [string, bigint][] = [
    ...NUMBERS.map((name): [string, bigint] => [name, BigInt(rfc[name])]),
    ...STRUCTS.flatMap(({ tag, size, fields }): [string, bigint][] => [
      [`sizeof(struct ${tag})`, BigInt(size)],
      ...Object.entries(fields as Record<string, { offset: number; size: number }>).flatMap(([field, at]): [string, bigint][] => [
        [`offsetof(struct ${tag}, ${field})`, BigInt(at.offset)], [`sizeof(((struct ${tag} *)0)->${field})`, BigInt(at.size)],
      ]),
    ]),
    ['offsetof(struct vfio_pci_get_dirty_bitmap, dirty_bitmap)', BigInt(rfc.vfio_pci_get_dirty_bitmap.size)],
    ['offsetof(struct vfio_iommu_get_dirty_bitmap, dirty_bitmap)', BigInt(rfc.vfio_iommu_get_dirty_bitmap.size)],
    ...PAGES.map((pages): [string, bigint] => [`(BITS_TO_LONGS(${pages}ULL) + 1) * 8`, rfc.dirtyBitmapBytes(BigInt(pages))]),
  ];
  const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-abi-'));
  try {
    const program = join(scratch, 'a');
    const source = `${HEADER}int main(void) { ${wanted.map(([expression]) => print(expression)).join('\n')} return 0; }`;
    execFileSync('gcc', ['-std=gnu11', '-x', 'c', '-o', program, '-'], { input: source, timeout: 60_000 });
    const said = execFileSync(program, { encoding: 'utf8', timeout: 20_000 }).trim().split('\n').map(BigInt);
    assert.deepEqual(said.map((value, n) => [wanted[n]?.[0], value]), wanted);
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
