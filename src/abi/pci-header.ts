/** The first 64 bytes of a PCI function's configuration space, header type 0. Source: include/uapi/linux/pci_regs.h. */
import { bytes, struct, u16, u32, u8 } from './layout.js';

export const pci_header_type0 = struct('pci_header_type0', {
  vendor_id: u16,
  device_id: u16,
  command: u16,
  status: u16,
  revision_id: u8,
  class_prog: u8,
  /** Sub-class in the low byte, base class in the high one. */
  class_device: u16,
  cache_line_size: u8,
  latency_timer: u8,
  header_type: u8,
  bist: u8,
  base_address_0: u32,
  base_address_1: u32,
  base_address_2: u32,
  base_address_3: u32,
  base_address_4: u32,
  base_address_5: u32,
  cardbus_cis: u32,
  subsystem_vendor_id: u16,
  subsystem_id: u16,
  rom_address: u32,
  capability_list: u8,
  reserved: bytes(7),
  interrupt_line: u8,
  interrupt_pin: u8,
  min_gnt: u8,
  max_lat: u8,
});

/** Class 07 00, "communication controller, serial". Source: include/linux/pci_ids.h. */
export const PCI_CLASS_COMMUNICATION_SERIAL = 0x0700;
/** Class 03 00, "display controller, VGA compatible". Source: include/linux/pci_ids.h. */
export const PCI_CLASS_DISPLAY_VGA = 0x0300;
