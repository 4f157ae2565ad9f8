/** `mdevsim list`: the mdevs of labs, read from their trees as any program could. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { writeStderr, writeStdout } from '../trace/stdio.js';
import { describe } from './errors.js';
import { chooseLabs } from './labs.js';

interface Row {
  readonly uuid: string;
  readonly type: string;
  readonly parent: string;
  /** /dev/vfio/<group> */
  readonly group: number;
  readonly blocked: boolean | null;
  readonly state: string | null;
}

interface Listed { readonly lab: string; readonly devices: readonly Row[]; readonly error?: string }

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null;
  }
}

function rowOf(lab: string, uuid: string): Row {
  const devices = join(lab, 'sys/bus/mdev/devices');
  const dir = join(devices, uuid);
  const blocked = readOrNull(join(dir, 'migration_block'));
  return {
    uuid,
    type: basename(readlinkSync(join(dir, 'mdev_type'))),
    parent: readlinkSync(dir).split('/').at(-2) ?? '',
    group: Number(basename(readlinkSync(join(dir, 'iommu_group')))),
    blocked: blocked === null ? null : blocked === '1',
    state: readOrNull(join(lab, 'sys/kernel/debug/vfio', uuid, 'migration/state')),
  };
}

function listLab(lab: string): Listed {
  try {
    const rows = readdirSync(join(lab, 'sys/bus/mdev/devices')).flatMap((uuid) => {
      // A device may go while we look.
      try { return [rowOf(lab, uuid)]; } catch { return []; }
    });
    return { lab, devices: rows.sort((a, b) => a.group - b.group) };
  } catch (error) {
    const dead = (error as NodeJS.ErrnoException).code === 'ENOTCONN';
    return { lab, devices: [], error: dead ? `its server has died; 'mdevsim umount ${lab}' removes it` : describe(error) };
  }
}

const HEAD = ['UUID', 'TYPE', 'PARENT', 'GROUP', 'BLOCK', 'STATE'];

/** Rows as aligned columns. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n');
}

export function list(options: { readonly lab?: string; readonly json?: boolean }): void {
  const labs = chooseLabs(options.lab).map(listLab);
  if (options.json === true) {
    writeStdout(`${JSON.stringify(labs, undefined, 2)}\n`);
  } else if (labs.length === 0) {
    writeStdout('no labs are mounted here\n');
  }
  for (const { lab, devices, error } of labs) {
    if (error !== undefined) {
      process.exitCode = 1;
      writeStderr(`mdevsim: ${lab}: ${error}\n`);
    } else if (options.json !== true) {
      const rows = devices.map(({ uuid, type, parent, group, blocked, state }) =>
        [uuid, type, parent, String(group), blocked === null ? '-' : blocked ? '1' : '0', state ?? '-']);
      const count = devices.length === 0 ? 'no devices' : `${devices.length} device${devices.length === 1 ? '' : 's'}`;
      writeStdout(`${lab}: ${count}\n`);
      if (rows.length > 0) writeStdout(`${table([HEAD, ...rows])}\n`);
    }
  }
}
