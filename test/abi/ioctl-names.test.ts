/** Every ioctl of every table has its name in traces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeIoctl } from '../../src/abi/ioctl-names.js';
import { VFIO_AP_IOCTLS } from '../../src/drivers/vfio-ap/device.js';
import { IOMMUFD_COMMANDS } from '../../src/iommufd/main.js';
import { CONTAINER_IOCTLS } from '../../src/vfio/container.js';
import { PCI_DEVICE_IOCTLS } from '../../src/vfio/device-ioctls.js';
import { GROUP_IOCTLS } from '../../src/vfio/group.js';
import { TYPE1_IOCTLS } from '../../src/vfio/type1.js';

type Names = ReadonlyMap<number, { readonly name: string }>;
/** Kind of the file, and what can be asked there. */
const TABLES: readonly (readonly [kind: string, what: string, names: Names])[] = [
  ['vfio-device', 'a PCI device', PCI_DEVICE_IOCTLS], ['vfio-device', 'vfio_ap', VFIO_AP_IOCTLS],
  ['vfio-group', 'a group', GROUP_IOCTLS],
  ['vfio-container', 'a container', CONTAINER_IOCTLS], ['vfio-container', 'its type1 IOMMU', TYPE1_IOCTLS],
  ['iommufd', '/dev/iommu', IOMMUFD_COMMANDS], ['iommufd', '/dev/iommu as a container', TYPE1_IOCTLS],
];
const unreadable = (): undefined => undefined;

for (const [kind, what, names] of TABLES) {
  test(`every ioctl of ${what} has its name in traces, an unknown one its number`, () => {
    assert.notEqual(names.size, 0);
    for (const [command, { name }] of names) assert.equal(describeIoctl(kind, command, unreadable)?.split(' ')[0], name);
    assert.equal(describeIoctl(kind, 0x4711, unreadable), '0x4711');
  });
}

test('a file that is none of VFIO has no names', () => assert.equal(describeIoctl('attribute', 0x3b80, unreadable), undefined));
