/** The interrupt indexes of the lab's PCI devices: the standard ones and, one past them, the one of migration_block. */
import { VFIO_PCI_NUM_IRQS } from '../abi/vfio.js';
import { BLOCKER_IRQ } from '../blocker/irq.js';
import type { Caller } from '../kernfs/caller.js';
import type { VfioIrq } from '../vfio/device.js';
import type { IrqSet } from '../vfio/irqs.js';
import { PCI_IRQS } from '../vfio/pci-interrupts.js';
import type { PciInterrupts } from '../vfio/pci-interrupts.js';
import type { LabControls } from './controls.js';

const MIGRATION_BLOCK_IRQ_INDEX = VFIO_PCI_NUM_IRQS;
/** What GET_INFO says. */
export const LAB_PCI_NUM_IRQS = MIGRATION_BLOCK_IRQ_INDEX + 1;

/** Undefined also for other standard indexes: the kernel's drivers count them, but know nothing of them. */
export const labPciIrq = (index: number): VfioIrq | undefined => index === MIGRATION_BLOCK_IRQ_INDEX ? BLOCKER_IRQ : PCI_IRQS.get(index);

/** VFIO_DEVICE_SET_IRQS. `change` has passed copyIrqSet(). Throws EINVAL or ENOTTY for what the device can't do, EBADF. */
export function changeLabPciIrqs(controls: LabControls, interrupts: PciInterrupts, caller: Caller, change: IrqSet): number {
  if (change.index === MIGRATION_BLOCK_IRQ_INDEX) controls.irq.set(caller, change);
  else interrupts.change(caller, change);
  return 0;
}
