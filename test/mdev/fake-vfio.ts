/** VFIO as the mdev core sees it: devices that can be opened and closed by the test, and what was registered. */
import type { OpenFile } from '../../src/kernfs/file.js';
import type { VfioDeviceOps } from '../../src/vfio/device.js';
import type { VfioBinding, VfioIdentity, VfioRegistrar } from '../../src/mdev/vfio-hooks.js';

export class FakeBinding implements VfioBinding {
  readonly identity: VfioIdentity;
  readonly ops: VfioDeviceOps;
  /** Open device fds. */
  open = 0;
  unregistered = false;
  released = false;
  #wake: (() => void) | undefined;

  constructor(identity: VfioIdentity, ops: VfioDeviceOps) {
    this.identity = identity;
    this.ops = ops;
  }

  get inUse(): boolean {
    return this.open > 0;
  }
  openGroup(): OpenFile {
    return { kind: `group ${this.identity.group}`, release: () => undefined };
  }
  openCdev(): OpenFile {
    this.open++;
    return { kind: `cdev ${this.identity.index}`, release: () => this.close() };
  }
  /** A device fd is closed. */
  close(): void {
    if (--this.open === 0) this.#wake?.();
  }
  unregister(): Promise<void> | undefined {
    this.unregistered = true;
    if (this.open === 0) return undefined;
    return new Promise((resolve) => { this.#wake = resolve; });
  }
  release(): void {
    this.released = true;
  }
}

export class FakeVfio implements VfioRegistrar {
  /** By name of the device; the newest registration. */
  readonly bindings = new Map<string, FakeBinding>();
  /** The next registration throws it. */
  failure: Error | undefined;

  register(identity: VfioIdentity, ops: VfioDeviceOps): FakeBinding {
    if (this.failure !== undefined) throw this.failure;
    const binding = new FakeBinding(identity, ops);
    this.bindings.set(identity.name, binding);
    return binding;
  }

  binding(name: string): FakeBinding {
    const binding = this.bindings.get(name);
    if (binding === undefined) throw new Error(`${name} was not registered`);
    return binding;
  }
}
