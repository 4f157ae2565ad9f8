/**
 * A small VFIO client: opens a device through its group, registers an eventfd for the blocker's interrupt, and says on
 * request how often it was signalled. Runs under `mdevsim run`. Arguments: group number, UUID.
 */
import { createInterface } from 'node:readline';
import {
  VFIO_DEVICE_GET_INFO, VFIO_DEVICE_SET_IRQS, VFIO_GROUP_GET_DEVICE_FD, VFIO_GROUP_SET_CONTAINER, VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_NUM_IRQS, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU, vfio_device_info, vfio_irq_set,
} from '../../src/abi/vfio.js';
import { createEventfd, drainEventfd } from '../../src/sys/eventfd.js';
import { ioctlFd, openFd } from '../../src/sys/io.js';
import { check, syscall } from '../../src/sys/libc.js';

const O_RDWR = 2;
const IOCTL = process.arch === 'arm64' ? 29 : 16;
const [group = '0', uuid = ''] = process.argv.slice(2);

/** ioctl(2) whose argument is a number. */
const ioctlNumber = (fd: number, command: number, argument: number): number =>
  check(syscall(IOCTL, fd, command, argument, 0, 0, 0), 'ioctl');
const int32 = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);

const container = openFd('/dev/vfio/vfio', O_RDWR);
const groupFd = openFd(`/dev/vfio/${group}`, O_RDWR);
ioctlFd(groupFd, VFIO_GROUP_SET_CONTAINER, int32(container));
ioctlNumber(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
const device = ioctlFd(groupFd, VFIO_GROUP_GET_DEVICE_FD, Buffer.from(`${uuid}\0`));
ioctlFd(device, VFIO_DEVICE_GET_INFO, vfio_device_info.encode({ argsz: vfio_device_info.size }));
const eventfd = createEventfd();
const head = vfio_irq_set.encode({
  argsz: vfio_irq_set.size + 4, flags: VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
  index: VFIO_PCI_NUM_IRQS, start: 0, count: 1,
});
ioctlFd(device, VFIO_DEVICE_SET_IRQS, Buffer.concat([head, int32(eventfd.fd)]));

console.log('listening');
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'count') console.log(`count ${drainEventfd(eventfd.fd)}`);
  if (line === 'end') process.exit(0);
}
