/**
 * The bus `ap` of the machine, made of an ApHost: sys/bus/ap with its masks, cards and queues, and their drivers. Source:
 * drivers/s390/crypto/ap_bus.c: ap_bus_attrs[].
 */
import { Errno } from '../../abi/errno.js';
import type { Bus } from '../../device/bus.js';
import type { Device } from '../../device/device.js';
import { Driver } from '../../device/driver.js';
import { cString } from '../../device/kstrtox.js';
import { GroupSource, groupSpan } from '../../device/layout.js';
import type { Machine } from '../../device/machine.js';
import type { RootDevice } from '../../device/root-device.js';
import type { Attribute } from '../../sysfs/attribute.js';
import { ro, rw } from '../../sysfs/attribute.js';
import { bindGroup } from '../../sysfs/group.js';
import { ApCard, ApQueue } from './ap-devices.js';
import type { ApHost, ApQueueState } from './ap-host.js';
import { DEFAULT_QUEUE_DRIVER, VFIO_AP_DRIVER } from './ap-host.js';
import { formatMask, hasBit, numbersOf, parseMaskChange } from './ap-mask.js';

const CARD_DRIVER = 'cex4card';
/** The modules of the bus's drivers. */
const DRIVER_MODULES = { [CARD_DRIVER]: 'zcrypt_cex4', [DEFAULT_QUEUE_DRIVER]: 'zcrypt_cex4', [VFIO_AP_DRIVER]: 'vfio_ap' };

export class ApBus {
  readonly host: ApHost;
  readonly bus: Bus;
  readonly #machine: Machine;
  readonly #root: RootDevice;
  readonly #drivers = new Map<string, Driver>();
  readonly #cards: ApCard[] = [];
  readonly #queues = new Map<ApQueueState, ApQueue>();
  /** ap_domain: the domain that the host's programs use by default; -1 is none. */
  defaultDomain: number;
  /** config_time: seconds between two scans. */
  configTime = 30;
  /** poll_timeout: ns. */
  pollTimeout = 250_000;
  /** scans */
  scanCount = 1;

  constructor(machine: Machine, host: ApHost) {
    this.host = host;
    this.#machine = machine;
    this.bus = machine.addBus('ap');
    this.#root = machine.addRootDevice('ap', { bus: 'ap' });
    this.defaultDomain = numbersOf(host.config.aqm & host.aqmask)[0] ?? -1;
    const groups = [bindGroup<ApBus>(this, BUS_ATTRIBUTES)];
    this.bus.dir.addSource(new GroupSource(() => groups, machine.tree.allocateInos(groupSpan(groups))));
    machine.addModule({ name: 'zcrypt_cex4' });
    for (const [name, module] of Object.entries(DRIVER_MODULES)) this.#addDriver(name, module);
    for (const adapter of host.adapters) this.#cards.push(new ApCard(machine, this.bus, adapter, this.#driver(CARD_DRIVER)));
    for (const card of this.#cards) this.#addCard(card);
    host.queueRebound = (queue, before) => this.#rebound(queue, before);
    host.maskChanged = (mask) => this.#announce(mask);
  }

  remove(): void {
    const machine = this.#machine;
    this.host.queueRebound = undefined;
    this.host.maskChanged = undefined;
    for (const queue of this.#queues.values()) this.#removeDevice(queue, true);
    for (const card of this.#cards) this.#removeDevice(card, false);
    const module = machine.module('zcrypt_cex4');
    if (module !== undefined) machine.removeModule(module);
    machine.removeRootDevice(this.#root);
    machine.removeBus(this.bus);
  }

  /** The queues that have a driver, and all of them. */
  get bindings(): { readonly bound: number; readonly all: number } {
    const queues = [...this.host.queues.values()];
    return { bound: queues.filter(({ driver }) => driver !== undefined).length, all: queues.length };
  }

  #driver(name: string): Driver {
    const found = this.#drivers.get(name);
    if (found === undefined) throw new Error(`bus ap has no driver ${name}`);
    return found;
  }

  #addDriver(name: string, module: string): void {
    const driver = new Driver(this.bus, name, module, (device) => this.#detach(device));
    this.#drivers.set(name, driver);
    this.bus.drivers.add(name, driver);
    this.#machine.module(module)?.drivers.add(`ap:${name}`, driver);
  }

  #addCard(card: ApCard): void {
    const machine = this.#machine;
    this.bus.devices.add(card.name, card);
    machine.addDevice(card);
    this.#driver(CARD_DRIVER).devices.add(card.name, card);
    for (const state of this.host.queues.values()) {
      if (state.adapter !== card.adapter) continue;
      const queue = new ApQueue(card, this.host, state, (name) => this.#drivers.get(name));
      this.#queues.set(state, queue);
      card.queues.add(queue.name, queue);
      this.bus.devices.add(queue.name, queue);
      machine.addDevice(queue, true);
      queue.boundTo?.devices.add(queue.name, queue);
    }
  }

  #removeDevice(device: ApCard | ApQueue, placed: boolean): void {
    void device.boundTo?.devices.delete(device.name);
    void this.bus.devices.delete(device.name);
    void this.#machine.removeDevice(device, placed);
    if (device instanceof ApQueue) void device.card.queues.delete(device.name);
  }

  #rebound(state: ApQueueState, before: string | undefined): void {
    const queue = this.#queues.get(state);
    if (queue === undefined) return;
    const { uevents } = this.#machine;
    if (before !== undefined) {
      void this.#driver(before).devices.delete(queue.name);
      queue.refresh();
      uevents.emit('unbind', queue);
    }
    if (state.driver === undefined) return;
    this.#driver(state.driver).devices.add(queue.name, queue);
    uevents.emit('bind', queue);
  }

  /** Only queues let go of; a card's driver stays. */
  #detach(device: Device): void {
    if (!(device instanceof ApQueue)) throw new Errno('EINVAL', 'cards stay bound');
    this.host.bindQueue(device.state, undefined);
  }

  /** ap_send_mask_changed_uevent() */
  #announce(mask: 'apm' | 'aqm'): void {
    const value = mask === 'apm' ? `APMASK=${formatMask(this.host.apmask)}` : `AQMASK=${formatMask(this.host.aqmask)}`;
    this.#machine.uevents.emit('change', this.#root, [value]);
  }
}

/** sscanf("%i"): a number with blanks before it, whatever follows. Throws EINVAL where none is there. */
function scanNumber(data: Uint8Array, pattern: RegExp): number {
  const [, digits] = pattern.exec(cString(data)) ?? [];
  if (digits === undefined) throw new Errno('EINVAL');
  return /^-?0[0-7]+$/.test(digits) && pattern === ANY_BASE ? Number.parseInt(digits, 8) : Number(digits);
}
const ANY_BASE = /^\s*([+-]?(?:0x[0-9a-f]+|[0-9]+))/i;
const DECIMAL = /^\s*([+-]?[0-9]+)/;

function setDefaultDomain(bus: ApBus, data: Uint8Array): void {
  const domain = scanNumber(data, ANY_BASE);
  if (domain < 0 || domain > bus.host.maxDomain || !hasBit(bus.host.aqmask, domain)) throw new Errno('EINVAL');
  bus.defaultDomain = domain;
}

function inRange(value: number, least: number, most: number): number {
  if (value < least || value > most) throw new Errno('EINVAL');
  return value;
}

const BUS_ATTRIBUTES: readonly Attribute<ApBus>[] = [
  rw('ap_domain', ({ defaultDomain }) => `${defaultDomain}\n`, setDefaultDomain),
  ro('ap_control_domain_mask', ({ host }) => `${formatMask(host.config.adm)}\n`),
  ro('ap_usage_domain_mask', ({ host }) => `${formatMask(host.config.aqm)}\n`),
  ro('ap_adapter_mask', ({ host }) => `${formatMask(host.config.apm)}\n`),
  rw('config_time', ({ configTime }) => `${configTime}\n`,
    (bus, data) => void (bus.configTime = inRange(scanNumber(data, DECIMAL), 5, 120))),
  ro('poll_thread', () => '0\n'),
  ro('ap_interrupts', () => '1\n'),
  rw('poll_timeout', ({ pollTimeout }) => `${pollTimeout}\n`,
    (bus, data) => void (bus.pollTimeout = inRange(scanNumber(data, DECIMAL), 1, 120e9))),
  ro('ap_max_domain_id', ({ host }) => `${host.maxDomain}\n`),
  ro('ap_max_adapter_id', ({ host }) => `${host.maxAdapter}\n`),
  rw('apmask', ({ host }) => `${formatMask(host.apmask)}\n`,
    ({ host }, data) => host.setApmask(parseMaskChange(cString(data), host.apmask))),
  rw('aqmask', ({ host }) => `${formatMask(host.aqmask)}\n`,
    ({ host }, data) => host.setAqmask(parseMaskChange(cString(data), host.aqmask))),
  rw('scans', ({ scanCount }) => `${scanCount}\n`, (bus) => void bus.scanCount++),
  ro('bindings', ({ bindings: { bound, all } }) => `${bound}/${all}${bound === all ? ' (complete)' : ''}\n`),
];
