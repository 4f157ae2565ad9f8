/** A small tree with one attribute of each kind, named as in the golden records, and the means to change it. */
import { Errno } from '../../src/abi/errno.js';
import { Tree } from '../../src/kernfs/tree.js';
import type { Attribute } from '../../src/sysfs/attribute.js';
import { ro, rw, wo } from '../../src/sysfs/attribute.js';
import type { Flavour } from '../../src/sysfs/attribute-node.js';
import { SYSFS } from '../../src/sysfs/attribute-node.js';
import type { AttributeGroup } from '../../src/sysfs/group.js';
import { bindGroup } from '../../src/sysfs/group.js';
import { LazyDir } from '../../src/device/lazy-dir.js';
import { groupSpan, GroupSource } from '../../src/device/layout.js';
import type { Dir } from '../../src/kernfs/dir.js';

export class Model {
  available = 23;
  control = 'auto';
  /** Every store that was called, by attribute. */
  readonly stores: { readonly name: string; readonly text: string; readonly length: number }[] = [];
  shows = 0;

  stored(name: string, data: Uint8Array): string {
    const text = new TextDecoder().decode(data);
    this.stores.push({ name, text, length: data.length });
    return text;
  }
}

/** Runs until `finish` is called; for operations that must be under way while something else happens. */
export class Gate {
  #open: (() => void) | undefined;
  readonly opened = new Promise<void>((resolve) => (this.#open = resolve));
  open(): void {
    this.#open?.();
  }
}

const ATTRIBUTES: readonly Attribute<Model>[] = [
  ro('name', () => 'Single port serial\n'),
  ro('available_instances', (model) => {
    model.shows++;
    return `${model.available}\n`;
  }),
  wo('create', (model, data) => {
    model.stored('create', data);
    throw new Errno('EINVAL');
  }),
  rw(
    'uevent',
    () => 'DRIVER=mtty\n',
    (model, data) => {
      model.stored('uevent', data);
    },
  ),
  rw(
    'drivers_autoprobe',
    () => '1\n',
    (model, data) => {
      model.stored('drivers_autoprobe', data);
    },
  ),
  ro('huge', () => 'x'.repeat(5000)),
];

const POWER: readonly Attribute<Model>[] = [
  rw(
    'control',
    (model) => `${model.control}\n`,
    (model, data) => {
      const text = model.stored('control', data).replace(/\n$/, '');
      if (text !== 'on' && text !== 'auto') throw new Errno('EINVAL');
      model.control = text;
    },
  ),
  rw(
    'autosuspend_delay_ms',
    () => {
      throw new Errno('EIO');
    },
    () => {
      throw new Errno('EIO');
    },
  ),
];

/** A directory below `parent` with the attributes of these groups. */
export function attachGroups(parent: Dir, name: string, groups: readonly AttributeGroup[], flavour: Flavour = SYSFS): LazyDir {
  const ino = parent.tree.allocateInos(1 + groupSpan(groups));
  return parent.attach(new LazyDir(ino, name, [new GroupSource(() => groups, ino + 1, flavour)], { born: Date.now() }));
}

export interface Fixture {
  readonly tree: Tree;
  readonly model: Model;
  /** `/sys/device` */
  readonly device: LazyDir;
}

export function buildFixture(): Fixture {
  const tree = new Tree();
  const model = new Model();
  const sys = tree.root.addDir('sys');
  const device = attachGroups(sys, 'device', [bindGroup(model, ATTRIBUTES), bindGroup(model, POWER, 'power')]);
  const target = sys.addDir('target');
  tree.addSymlink(device, 'link', target);
  return { tree, model, device };
}
