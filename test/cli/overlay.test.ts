import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EntryKind, Lister, OverlayRules } from '../../src/cli/run/overlay.js';
import { planOverlay } from '../../src/cli/run/overlay.js';

/** Paths that end in / are directories, in @ links; parents need not be named. */
function tree(...paths: string[]): Lister {
  const dirs = new Map<string, Map<string, EntryKind>>([['', new Map()]]);
  for (const path of paths) {
    const kind: EntryKind = path.endsWith('/') ? 'dir' : path.endsWith('@') ? 'link' : 'file';
    const parts = path.replace(/[/@]$/, '').split('/');
    parts.forEach((name, index) => {
      const parent = parts.slice(0, index).join('/');
      const last = index === parts.length - 1;
      const known = dirs.get(parent) ?? new Map<string, EntryKind>();
      known.set(name, last ? kind : 'dir');
      dirs.set(parent, known);
      const own = parts.slice(0, index + 1).join('/');
      if (!last || kind === 'dir') dirs.set(own, dirs.get(own) ?? new Map<string, EntryKind>());
    });
  }
  return (path) => dirs.get(path);
}

const rules = (merged: string[], transient: string[] = [], ignored: string[] = []): OverlayRules =>
  ({ merged: new Set(merged), transient: new Set(transient), ignored: new Set(ignored) });

const brief = (machine: Lister, lab: Lister, given: OverlayRules): string[] => planOverlay(machine, lab, given).map((step) => {
  if (step.op === 'cover') return `cover ${step.path}`;
  const links = step.transient.length > 0 ? ` link ${step.transient.join(',')}` : '';
  return `rebuild ${step.path || '.'} keep ${[...step.keep.keys()].join(',')} add ${[...step.add.keys()].join(',')}${links}`;
});

describe('planOverlay()', () => {
  it('covers what the machine has too', () => {
    assert.deepEqual(brief(tree('bus/mdev/', 'bus/pci/'), tree('bus/mdev/'), rules(['', 'bus'])), ['cover bus/mdev']);
  });

  it('rebuilds a directory that lacks an entry, and only that one', () => {
    const steps = brief(tree('bus/pci/', 'class/net/'), tree('bus/mdev/'), rules(['', 'bus']));
    assert.deepEqual(steps, ['rebuild bus keep pci add mdev']);
  });

  it('does inner directories first', () => {
    const lab = tree('devices/virtual/mtty/', 'devices/matrix/');
    assert.deepEqual(brief(tree('devices/virtual/net/'), lab, rules(['', 'devices', 'devices/virtual'])),
      ['rebuild devices/virtual keep net add mtty', 'rebuild devices keep virtual add matrix']);
  });

  it('in a rebuilt directory puts the lab over what both have', () => {
    const steps = brief(tree('dev/vfio/', 'dev/null'), tree('dev/vfio/', 'dev/iommu'), rules(['', 'dev']));
    assert.deepEqual(steps, ['rebuild dev keep null add iommu,vfio']);
  });

  it('links directories that come and go, whether they are there or not', () => {
    const given = rules(['', 'virtual'], ['virtual/vfio']);
    for (const lab of [tree('virtual/mtty/'), tree('virtual/mtty/', 'virtual/vfio/')]) {
      const steps = brief(tree('virtual/net/', 'virtual/vfio/', 'virtual/mtty/'), lab, given);
      assert.deepEqual(steps, ['rebuild virtual keep net add mtty link vfio']);
    }
  });

  it('leaves ignored directories to the machine', () => {
    const both = tree('dev/char/', 'bus/mdev/');
    assert.deepEqual(brief(both, both, rules(['', 'bus'], [], ['dev'])), ['cover bus/mdev']);
  });

  it('covers a directory that cannot be listed', () => {
    const machine = tree('kernel/debug/');
    const closed: Lister = (path) => (path === 'kernel/debug' ? undefined : machine(path));
    const steps = brief(closed, tree('kernel/debug/vfio/'), rules(['', 'kernel', 'kernel/debug']));
    assert.deepEqual(steps, ['cover kernel/debug']);
  });

  it('does nothing where the lab has nothing', () => assert.deepEqual(brief(tree('bus/'), () => undefined, rules([''])), []));
});
