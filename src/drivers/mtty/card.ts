/** What is on an mtty card: two ports, whatever its type says, configuration space, and its interrupts. */
import { PciInterrupts } from '../../vfio/pci-interrupts.js';
import { ConfigSpace } from './config-space.js';
import { Uart } from './uart.js';

export class Card {
  readonly config: ConfigSpace;
  readonly interrupts = new PciInterrupts();
  readonly ports: readonly [Uart, Uart] = [new Uart(this.interrupts), new Uart(this.interrupts)];
  /** mtty learns how many interrupt indexes it has when it is asked for GET_INFO, and refuses to know any before. */
  infoAsked = false;

  constructor(nrPorts: 1 | 2) {
    this.config = new ConfigSpace(nrPorts);
  }

  /** Last close of the device: the client's eventfds go. */
  release(): void {
    this.interrupts.release();
  }
}
