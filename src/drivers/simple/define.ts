/**
 * defineDriver(): a driver in a few lines, for those who are new here or need no more. It becomes an MdevDriver whose devices
 * have attributes, regions, and a state that migrates; `migration_block` with its interrupt and the fault knobs come with it.
 * docs/writing-a-driver.md is about it. A driver that needs more (interrupts, DMA, ioctls) is written as src/drivers/mtty is.
 */
import { Errno } from '../../abi/errno.js';
import { VFIO_DEVICE_API_PCI_STRING } from '../../abi/vfio.js';
import type { BlockerPolicyName } from '../../blocker/policy.js';
import type { Awaitable } from '../../kernfs/file.js';
import type { MdevDriver, MdevIdentity, MdevInstance, MdevParentOps, MdevTypeDescription } from '../../mdev/driver.js';
import { checkDevice, checkDriver } from './check.js';
import { guarded } from './guard.js';
import { SimpleInstance } from './instance.js';

export interface SimpleDriver {
  /** Name of the driver, its module and its first parent device: `counter`. */
  readonly name: string;
  readonly types: readonly SimpleType[];
  /** A device was created. Throws Errno to refuse it. */
  create(device: SimpleIdentity): SimpleDevice;
}

export interface SimpleType {
  /** As in mdev_supported_types: `counter-1`. */
  readonly name: string;
  /** Content of the type's attribute `name`. */
  readonly label?: string;
  /** How many of it there can be on a parent; default 16. */
  readonly instances?: number;
}

export interface SimpleIdentity {
  /** Lower case. */
  readonly uuid: string;
  /** `counter-1` */
  readonly type: string;
  /** A line of the kernel log. */
  log(message: string): void;
  /** Wakes those who poll an attribute. */
  notify(attribute: string): void;
}

export interface SimpleDevice {
  /** In the device's directory, by name. */
  readonly attributes?: Readonly<Record<string, SimpleAttribute>>;
  /** By index, up to 9: 0 to 5 are a PCI device's BARs, 7 its configuration space. */
  readonly regions?: readonly (SimpleRegion | undefined)[];
  /** Without it the device cannot migrate. */
  readonly state?: SimpleState;
  /** VFIO_DEVICE_RESET. */
  reset?(): void;
  /** The device is gone. */
  remove?(): void;
}

/** Without `store` it is read-only, without `show` write-only. Both may throw Errno. */
export interface SimpleAttribute {
  /** The content; a newline is added. */
  show?(): Awaitable<string | number>;
  /** What was written, without the newline at its end. */
  store?(text: string): Awaitable<void>;
}

export interface SimpleRegion {
  /** Bytes. */
  readonly size: number;
  /** `offset` and `length` are within the region. Without it: zeros. */
  read?(offset: number, length: number): Uint8Array;
  /** Without it the region is read-only: EINVAL. */
  write?(offset: number, data: Uint8Array): void;
}

export interface SimpleState {
  /** The whole state. */
  save(): Uint8Array;
  /** As many bytes as save() gives on this device. Throwing Errno refuses them. */
  load(state: Uint8Array): void;
}

/** What the lab tells every driver. */
export interface SimpleOptions {
  readonly blocker?: BlockerPolicyName | undefined;
  readonly migrationFlags?: number | undefined;
  readonly typeMigrationFlags?: Readonly<Record<string, number>> | undefined;
  readonly own?: Readonly<Record<string, unknown>> | undefined;
}

const DEFAULT_INSTANCES = 16;

class SimpleParent implements MdevParentOps {
  readonly types: readonly MdevTypeDescription[];
  readonly #used = new Map<string, number>();

  constructor(private readonly driver: SimpleDriver, private readonly options: SimpleOptions) {
    this.types = driver.types.map(({ name, label }) =>
      ({ name, deviceApi: VFIO_DEVICE_API_PCI_STRING, ...(label === undefined ? {} : { prettyName: label }) }));
  }

  availableInstances({ name }: MdevTypeDescription): number {
    const type = this.driver.types.find((each) => each.name === name);
    return (type?.instances ?? DEFAULT_INSTANCES) - (this.#used.get(name) ?? 0);
  }

  probe(identity: MdevIdentity, type: MdevTypeDescription): MdevInstance {
    if (this.availableInstances(type) <= 0) throw new Errno('ENOSPC');
    const { driver, options } = this;
    const device = guarded(driver.name, 'create()', () => {
      const made = driver.create({
        uuid: identity.uuid, type: type.name,
        log: (message) => identity.log(message),
        notify: (attribute) => identity.notify?.(attribute),
      });
      checkDevice(made);
      return made;
    });
    const migrationFlags = options.typeMigrationFlags?.[type.name] ?? options.migrationFlags;
    this.#use(type.name, 1);
    const giveBack = (): void => this.#use(type.name, -1);
    return new SimpleInstance(driver.name, identity, device, { blocker: options.blocker, migrationFlags }, giveBack);
  }

  #use(type: string, count: number): void {
    this.#used.set(type, (this.#used.get(type) ?? 0) + count);
  }
}

/** What a driver's module exports as its default. Throws TypeError for what is no SimpleDriver. */
export function defineDriver(driver: SimpleDriver): (options?: SimpleOptions) => MdevDriver {
  checkDriver(driver);
  return (options = {}) => {
    const [unknown] = Object.keys(options.own ?? {});
    if (unknown !== undefined) throw new RangeError(`driver ${driver.name} has no option '${unknown}'`);
    return {
      name: driver.name,
      parentClass: driver.name,
      parentPath: (n) => `virtual/${driver.name}/${driver.name}${n === 0 ? '' : n}`,
      createParent: () => new SimpleParent(driver, options),
    };
  };
}
