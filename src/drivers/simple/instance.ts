/** One device of a driver that was made with defineDriver(): its files, and the device as VFIO sees it (device.ts). */
import type { Awaitable } from '../../kernfs/file.js';
import { interruptible } from '../../kernfs/interrupt.js';
import type { MdevIdentity, MdevInstance } from '../../mdev/driver.js';
import type { Attribute, AttributeRequest } from '../../sysfs/attribute.js';
import { bindGroup } from '../../sysfs/group.js';
import type { AttributeGroup } from '../../sysfs/group.js';
import type { SimpleAttribute, SimpleDevice, SimpleOptions } from './define.js';
import { SimpleVfioDevice } from './device.js';
import { guarded, unrefused } from './guard.js';

/**
 * A driver's promise; any signal to the caller ends the wait with EINTR, for a driver that never settles it must not leave a shell that
 * nothing ends. FUSE does not say whether the signal was a fatal one. What the driver does goes on.
 */
function untilSignal<T>(request: AttributeRequest, result: Awaitable<T>): Awaitable<T> {
  return result instanceof Promise ? interruptible(result, request.signal) : result;
}

function toAttribute(driver: string, name: string, attribute: SimpleAttribute): Attribute<undefined> {
  const show = (_owner: undefined, request: AttributeRequest): Awaitable<string> =>
    untilSignal(request, guarded(driver, `show of ${name}`, () => {
      const content = attribute.show?.() ?? '';
      return content instanceof Promise ? content.then((text) => `${text}\n`) : `${content}\n`;
    }));
  const store = (_owner: undefined, data: Uint8Array, request: AttributeRequest): Awaitable<void> =>
    untilSignal(request, guarded(driver, `store of ${name}`, () =>
      attribute.store?.(Buffer.from(data).toString('utf8').replace(/\n$/, ''))));
  const [readable, writable] = ['show' in attribute, 'store' in attribute];
  return {
    name, mode: (readable ? 0o444 : 0) | (writable ? 0o200 : 0),
    ...(readable ? { show } : {}),
    ...(writable ? { store } : {}),
  };
}

export class SimpleInstance implements MdevInstance {
  readonly vfio: SimpleVfioDevice;
  readonly groups: readonly AttributeGroup[];
  readonly #driver: string;
  readonly #device: SimpleDevice;
  readonly #giveBack: () => void;

  constructor(driver: string, identity: MdevIdentity, device: SimpleDevice, options: SimpleOptions, giveBack: () => void) {
    this.#driver = driver;
    this.#device = device;
    this.#giveBack = giveBack;
    this.vfio = new SimpleVfioDevice(driver, device, options, () => identity.notify?.('migration_block'));
    const attributes = Object.entries(device.attributes ?? {}).map(([name, attribute]) => toAttribute(driver, name, attribute));
    this.groups = [bindGroup(undefined, attributes), this.vfio.controls.group];
  }

  get debugfs(): NonNullable<MdevInstance['debugfs']> {
    return this.vfio.controls.debugfs(this.vfio);
  }

  remove(): void {
    this.#giveBack();
    unrefused(this.#driver, 'remove()', () => this.#device.remove?.());
  }
}
