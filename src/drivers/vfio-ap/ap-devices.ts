/**
 * Cards and queues as devices of the bus `ap`: sys/devices/ap/card04 and, in it, 04.0047. Sources: drivers/s390/crypto/ap_card.c,
 * ap_queue.c, drivers/s390/crypto/vfio_ap_ops.c: status_show().
 */
import type { Bus } from '../../device/bus.js';
import { Device } from '../../device/device.js';
import type { Driver } from '../../device/driver.js';
import { LazyDir, Members } from '../../device/lazy-dir.js';
import type { ChildSource } from '../../device/lazy-dir.js';
import { attribute, Layout, LayoutSource, link } from '../../device/layout.js';
import type { Machine } from '../../device/machine.js';
import { relativePath } from '../../device/path.js';
import { ro } from '../../sysfs/attribute.js';
import type { ApAdapter, ApHost, ApQueueState } from './ap-host.js';
import { apqnName, hex, VFIO_AP_DRIVER } from './ap-host.js';
import { deviceType, modeName } from './hardware.js';

/** Messages that a queue takes before the first is answered. */
const QUEUE_DEPTH = 8;
/** Bytes. */
const MAX_MSG_SIZE = 12_288;

abstract class ApDevice extends Device {
  readonly subsystem: Bus;
  readonly born = Date.now();
  readonly adapter: ApAdapter;

  constructor(machine: Machine, bus: Bus, adapter: ApAdapter, inos: number) {
    super(machine, inos);
    this.subsystem = bus;
    this.adapter = adapter;
  }

  abstract get boundTo(): Driver | undefined;

  override get driverName(): string | undefined {
    return this.boundTo?.name;
  }

  /** ap_uevent() */
  override ueventVariables(): readonly string[] {
    const { type } = this.adapter;
    const number = hex(deviceType(type), 2).toUpperCase();
    return [...super.ueventVariables(), `DEV_TYPE=00${number}`, `MODALIAS=ap:t${number}`, `MODE=${modeName(type)}`];
  }

  /** `ap_functions`: what its hardware can do. */
  get functions(): string {
    return `0x${hex(this.adapter.functions, 8).toUpperCase()}\n`;
  }
}

export class ApCard extends ApDevice {
  readonly directory = '/devices/ap';
  readonly queues: Members<Device>;

  constructor(machine: Machine, bus: Bus, adapter: ApAdapter, readonly boundTo: Driver) {
    super(machine, bus, adapter, CARD.span);
    this.queues = new Members<Device>('dir', (queue) => queue.ino, (_ino, _name, queue) => queue.makeDirectory());
  }

  override get typeName(): string {
    return 'ap_card';
  }
  get name(): string {
    return `card${hex(this.adapter.id, 2)}`;
  }

  override sources(): ChildSource[] {
    return [...super.sources(), new LayoutSource(CARD, this, this.extraIno), this.queues];
  }
}

/** Counters stay at zero: the lab's queues do no work. */
const CARD: Layout<ApCard> = new Layout<ApCard>([
  attribute(ro('hwtype', ({ adapter }) => `${deviceType(adapter.type)}\n`)),
  attribute(ro('raw_hwtype', ({ adapter }) => `${deviceType(adapter.type)}\n`)),
  attribute(ro('depth', () => `${QUEUE_DEPTH}\n`)),
  attribute(ro('ap_functions', (card) => card.functions)),
  attribute(ro('request_count', () => '0\n')),
  attribute(ro('requestq_count', () => '0\n')),
  attribute(ro('pendingq_count', () => '0\n')),
  attribute(ro('modalias', ({ adapter }) => `ap:t${hex(deviceType(adapter.type), 2).toUpperCase()}\n`)),
  attribute(ro('config', () => '1\n')),
  attribute(ro('chkstop', () => '0\n')),
  attribute(ro('max_msg_size', () => `${MAX_MSG_SIZE}\n`)),
  attribute(ro('type', ({ adapter }) => `${adapter.type}\n`)),
  link('driver', ({ path, boundTo }) => relativePath(path, boundTo.path)),
]);

export class ApQueue extends ApDevice {
  readonly host: ApHost;
  readonly card: ApCard;
  readonly state: ApQueueState;
  readonly #driverOf: (name: string) => Driver | undefined;

  constructor(card: ApCard, host: ApHost, state: ApQueueState, driverOf: (name: string) => Driver | undefined) {
    super(card.machine, card.subsystem, state.adapter, QUEUE.span);
    this.host = host;
    this.card = card;
    this.state = state;
    this.#driverOf = driverOf;
  }

  override get typeName(): string {
    return 'ap_queue';
  }
  get name(): string {
    return apqnName(this.state.apqn);
  }
  get directory(): string {
    return this.card.path;
  }
  get boundTo(): Driver | undefined {
    return this.state.driver === undefined ? undefined : this.#driverOf(this.state.driver);
  }

  /** `status`: what an mdev and a guest have of it. */
  get status(): string {
    const owner = this.host.ownerOf(this.state.apqn);
    if (owner === undefined) return 'unassigned';
    return owner.attached && owner.guestHasQueue(this.state.apqn) ? 'in use' : 'assigned';
  }

  /** Its driver has changed: files that belong to the old one are gone. */
  refresh(): void {
    const dir = this.card.queues.liveNode(this.name);
    if (dir instanceof LazyDir) void dir.refresh();
  }

  override sources(): ChildSource[] {
    return [...super.sources(), new LayoutSource(QUEUE, this, this.extraIno)];
  }
}

const QUEUE: Layout<ApQueue> = new Layout<ApQueue>([
  attribute(ro('request_count', () => '0\n')),
  attribute(ro('requestq_count', () => '0\n')),
  attribute(ro('pendingq_count', () => '0\n')),
  attribute(ro('reset', () => 'No Reset Timer set.\n')),
  attribute(ro('interrupt', () => 'Interrupts disabled.\n')),
  attribute(ro('config', () => '1\n')),
  attribute(ro('chkstop', () => '0\n')),
  attribute(ro('ap_functions', (queue) => queue.functions)),
  attribute(ro('status', (queue) => `${queue.status}\n`), ({ state }) => state.driver === VFIO_AP_DRIVER),
  link('driver', ({ path, boundTo }) => relativePath(path, boundTo?.path ?? ''), ({ boundTo }) => boundTo !== undefined),
]);
