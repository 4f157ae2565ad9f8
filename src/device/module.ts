/**
 * sys/module/<name>: what tools look at. Left out, because they say nothing about a module that isn't one: sizes, checksums,
 * section addresses and ELF notes. Source: kernel/module/sysfs.c, kernel/params.c.
 */
import { Errno } from '../abi/errno.js';
import { Symlink } from '../kernfs/symlink.js';
import { ro, rw, wo } from '../sysfs/attribute.js';
import type { AttributeGroup } from '../sysfs/group.js';
import { bindGroup } from '../sysfs/group.js';
import type { Driver } from './driver.js';
import { synthesize } from './device.js';
import { LazyDir, Members } from './lazy-dir.js';
import { attribute, GroupSource, groupSpan, Layout, LayoutSource, sourced } from './layout.js';
import { cString } from './kstrtox.js';
import type { Machine } from './machine.js';
import { relativePath } from './path.js';
import type { UeventSource } from './uevent.js';

export interface ModuleDescription {
  readonly name: string;
  /** MODULE_VERSION; no attribute without one. */
  readonly version?: string;
  /** Modules whose symbols it uses: it appears in their `holders`. */
  readonly uses?: readonly string[];
  /** Built into the kernel: no state, no holders. */
  readonly builtin?: boolean;
  readonly parameters?: readonly AttributeGroup[];
}

const DRIVER_LINK = 1;
const HOLDER_LINK = 2;

export class Module implements UeventSource {
  readonly subsystemName = 'module';
  readonly path: string;
  readonly ino: number;
  readonly born = Date.now();
  readonly holders: Members<Module>;
  readonly drivers: Members<Driver>;

  constructor(readonly machine: Machine, readonly description: ModuleDescription) {
    this.path = `/module/${description.name}`;
    const tree = machine.tree;
    this.ino = tree.allocateInos(3 + MODULE.span + groupSpan(description.parameters ?? []));
    const toModule = (ino: number, name: string, module: Module): Symlink =>
      new Symlink(ino, name, relativePath(`${this.path}/holders`, module.path));
    const toDriver = (ino: number, name: string, driver: Driver): Symlink =>
      new Symlink(ino, name, relativePath(`${this.path}/drivers`, driver.path));
    this.holders = new Members<Module>('symlink', (module) => module.ino + HOLDER_LINK, toModule);
    this.drivers = new Members<Driver>('symlink', () => this.ino + DRIVER_LINK, toDriver);
  }

  ueventVariables(): readonly string[] {
    return [];
  }

  makeDirectory(): LazyDir {
    const { description, ino } = this;
    const layout = new LayoutSource(MODULE, this, ino + 3);
    const parameters = new GroupSource(() => description.parameters ?? [], ino + 3 + MODULE.span);
    return new LazyDir(ino, description.name, [layout, parameters], { born: this.born });
  }
}

const loaded = ({ description }: Module): boolean => description.builtin !== true;

const MODULE: Layout<Module> = new Layout<Module>([
  attribute(wo('uevent', (module, data) => synthesize(module.machine, module, data))),
  attribute(ro('version', ({ description }) => `${description.version ?? ''}\n`),
    ({ description }) => description.version !== undefined),
  attribute(ro('initstate', () => 'live\n'), loaded),
  attribute(ro('refcnt', ({ holders }) => `${holders.size}\n`), loaded),
  attribute(ro('taint', () => '\n'), loaded),
  sourced('holders', ({ holders }) => [holders], loaded),
  sourced('drivers', ({ drivers }) => [drivers], ({ drivers }) => drivers.size > 0),
]);

/** `parameters` of a module: values that can be read and written, `N\n`. Booleans are checked, numbers are kept as written. */
export function moduleParameters(values: Readonly<Record<string, string>>): AttributeGroup {
  const current: Record<string, string> = { ...values };
  const attributes = Object.keys(values).map((name) =>
    rw<Record<string, string>>(name, (owner) => `${owner[name] ?? ''}\n`, (owner, data) => {
      const text = cString(data).trim();
      if (/^[YN]$/.test(values[name] ?? '')) {
        if (!/^([yn01]|on|of)/i.test(text)) throw new Errno('EINVAL');
        owner[name] = /^([y1]|on)/i.test(text) ? 'Y' : 'N';
        return;
      }
      if (!/^[0-9]+$/.test(text) || Number(text) > 0xffffffff) throw new Errno('EINVAL');
      owner[name] = text;
    }));
  return bindGroup(current, attributes, 'parameters');
}
