/** Carries out an overlay plan (overlay.ts) with mount(2), in this process's own mount namespace. */
import { closeSync, mkdirSync, openSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mount, MS_BIND, MS_REC } from '../../sys/mount.js';
import type { EntryKind, Lister, OverlayRules, Step } from './overlay.js';
import { planOverlay } from './overlay.js';

const lister = (root: string): Lister => (path) => {
  try {
    return new Map(readdirSync(join(root, path), { withFileTypes: true }).map((entry) => [
      entry.name, entry.isDirectory() ? 'dir' : entry.isSymbolicLink() ? 'link' : 'file',
    ]));
  } catch {
    return undefined;
  }
};

/** Shows `from` (a path that may lead through /proc/self/fd) at `to`, which does not exist yet. */
function place(from: string, to: string, kind: EntryKind): void {
  if (kind === 'link') {
    symlinkSync(readlinkSync(from), to);
    return;
  }
  if (kind === 'dir') mkdirSync(to);
  else writeFileSync(to, '');
  mount(from, to, null, MS_BIND | MS_REC);
}

function rebuild(target: string, lab: string, step: Step & { op: 'rebuild' }): void {
  // Reached through this descriptor, the machine's directory stays accessible below the tmpfs that covers it.
  const fd = openSync(target, 'r');
  try {
    const machine = `/proc/self/fd/${fd}`;
    mount('tmpfs', target, 'tmpfs', 0, 'mode=755,size=1m');
    for (const [name, kind] of step.keep) {
      try {
        place(join(machine, name), join(target, name), kind);
      } catch (error) {
        // Something that went away since it was listed is no loss.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    for (const [name, kind] of step.add) place(join(lab, name), join(target, name), kind);
    for (const name of step.transient) symlinkSync(join(lab, name), join(target, name));
  } finally {
    closeSync(fd);
  }
}

/** Lays the directory `lab` over `target` (/sys, /dev). */
export function applyOverlay(lab: string, target: string, rules: OverlayRules): void {
  for (const step of planOverlay(lister(target), lister(lab), rules)) {
    const [from, to] = [join(lab, step.path), join(target, step.path)];
    if (step.op === 'cover') mount(from, to, null, MS_BIND | MS_REC);
    else rebuild(to, from, step);
  }
}
