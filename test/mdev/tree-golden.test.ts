/**
 * The tree against the recorded one (test/golden/sysfs-tree): every path, type, mode, size, link target, content, order of
 * readdir in each phase. `stock` is the reference; where it has no cdev, iommufd or debugfs, the kernel k2 is.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Dir } from '../../src/kernfs/dir.js';
import { FileNode } from '../../src/kernfs/file-node.js';
import { orderedEntries } from '../../src/kernfs/readdir.js';
import { Symlink } from '../../src/kernfs/symlink.js';
import type { GoldenRecord } from '../golden/load.js';
import { loadGolden } from '../golden/load.js';
import { Bench, errnoOf } from './bench.js';

const FIRST = '11111111-1111-4111-8111-111111111111';
const SECOND = '22222222-2222-4222-8222-222222222222';

/** What only a kernel with cdev, iommufd and debugfs has; its modules are built in. */
const FROM_K2 = [
  /^\/dev/, /^\/sys\/dev\/char/, /^\/sys\/kernel\/debug/, /^\/sys\/class\/vfio-dev/, /\/misc\/iommu/,
  /^\/sys\/module\/(vfio|vfio_iommu_type1|iommufd)(\/|$)/, /\/vfio-dev\/vfio\d+(\/(dev|uevent))?$/,
];

/** k2 was built without CONFIG_PM_ADVANCED_DEBUG: its `power` directories are not the reference. */
const NOT_FROM_K2 = [/\/power(\/|$)/];

interface Difference {
  readonly path: RegExp;
  readonly why: string;
  /** Changes the record into what the lab has; undefined: the path is not compared. */
  readonly change?: (record: Record<string, unknown>) => Record<string, unknown>;
}

function withNames(...names: string[]) {
  return (record: Record<string, unknown>): Record<string, unknown> =>
    ({ ...record, names: [...(record['names'] as string[]), ...names].sort(), readdir: undefined });
}
function onlyNames(pattern: RegExp) {
  return (record: Record<string, unknown>): Record<string, unknown> =>
    ({
      ...record, names: (record['names'] as string[]).filter((name) => pattern.test(name)), readdir: undefined, nlink: undefined,
    });
}

const MODULE_FILES = /^(drivers|holders|initstate|refcnt|taint|uevent|version)$/;
const DIFFERENCES: readonly Difference[] = [
  {
    path: /^\/sys\/module\/(mtty|mdev)\/(coresize|initsize|srcversion|notes|sections)/,
    why: 'sizes, checksums and addresses of a binary that does not exist',
  },
  { path: /^\/sys\/module\/(mtty|mdev)$/, why: 'as above', change: onlyNames(MODULE_FILES) },
  {
    path: /^\/sys\/module\/mtty\/taint$/, why: 'the recorded module was built out of tree',
    change: (r) => ({ ...r, content: '\n' }),
  },
  { path: new RegExp(`/mtty/mtty/[^/]{36}$`), why: "the lab's own attribute", change: withNames('migration_block') },
  {
    path: /^\/sys\/kernel\/debug\/vfio\/[^/]*\/migration$/, why: '6.12 has no `features`; the lab has it as 7.2',
    change: withNames('features'),
  },
  {
    path: /^\/dev\/(vfio\/.*|iommu)$/, why: 'FUSE cannot make character devices that lead back to the lab',
    change: (r) => (r['type'] === 'chr' ? { ...r, type: 'file', content: undefined, open_errno: undefined } : r),
  },
  { path: /^\/dev\/vfio(\/devices)?$/, why: 'tmpfs counts the bytes of its names', change: (r) => ({ ...r, size: 0 }) },
];

const MAJORS: Readonly<Record<string, string>> = { 245: '253' };

/** Major numbers that the kernel gives out as they are free. */
function majors(text: string): string {
  return text.replace(/(^|MAJOR=|char\/)245\b/, (_all, before: string) => `${before}${MAJORS[245] ?? ''}`);
}

/** The fields that are compared; names are also compared as a set where the difference table drops the order. */
function expected(record: GoldenRecord): Record<string, unknown> | undefined {
  const fieldsOf = record as Record<string, unknown>;
  const { path, type, mode, size, nlink, target, content, read_errno, open_errno, readdir, errno } = fieldsOf;
  const names = Array.isArray(readdir) ? (readdir as string[]).filter((name) => !/^\.\.?$/.test(name)) : undefined;
  let fields: Record<string, unknown> | undefined = {
    path, type, mode, size, nlink, target, read_errno, open_errno, errno: errno === '0' ? undefined : errno,
    content: typeof content === 'string' ? majors(content) : undefined, readdir: names, names: names && [...names].sort(),
  };
  for (const { path: pattern, change } of DIFFERENCES) {
    if (!pattern.test(String(path)) || errno === 'ENOENT') continue;
    fields = change?.(fields);
    if (fields === undefined) return undefined;
  }
  return fields;
}

async function actual(bench: Bench, path: string): Promise<Record<string, unknown>> {
  const errno = await errnoOf(() => bench.walk(path, false));
  if (errno !== '0') return { path, errno };
  const node = bench.walk(path, false);
  const stat = node.stat();
  const mode = `0${(stat.mode & 0o7777).toString(8).padStart(3, '0')}`;
  const base = { path, mode, size: stat.size, nlink: stat.nlink };
  if (node instanceof Symlink) return { ...base, type: 'link', target: node.target };
  if (node instanceof Dir) {
    const readdir = orderedEntries(node).map(({ name }) => name);
    return { ...base, type: 'dir', readdir, names: [...readdir].sort() };
  }
  if (path.startsWith('/dev/')) return { ...base, type: 'file' };
  assert(node instanceof FileNode);
  const open_errno = await errnoOf(() => bench.open(path, 0));
  if (open_errno !== '0') return { ...base, type: 'file', open_errno };
  const read_errno = await errnoOf(() => bench.cat(path));
  if (read_errno !== '0') return { ...base, type: 'file', read_errno };
  return { ...base, type: 'file', content: Buffer.from(await bench.cat(path), 'latin1').toString('utf8') };
}

/** Only the fields that the expectation has. */
function restrict(fields: Record<string, unknown>, to: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.keys(to).filter((key) => to[key] !== undefined).map((key) => [key, fields[key]]));
}
function defined(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function recordsOf(phase: string): Map<string, GoldenRecord> {
  const records = new Map<string, GoldenRecord>();
  const isFrom2 = (path: string): boolean => FROM_K2.some((p) => p.test(path)) && !NOT_FROM_K2.some((p) => p.test(path));
  for (const kernel of ['stock', 'k2'] as const) {
    for (const record of loadGolden('sysfs-tree', { kernel, phase, op: 'entry' })) {
      const path = majors(String(record['path']));
      if (isFrom2(path) === (kernel === 'k2')) records.set(path, { ...record, path });
    }
  }
  return records;
}

type Step = (bench: Bench) => Promise<unknown>;
const PHASES: readonly { readonly phase: string; readonly step: Step }[] = [
  { phase: 'modules-without-mtty', step: async () => undefined },
  { phase: 'mtty-loaded', step: async (bench) => bench.load() },
  { phase: 'one-mtty-1', step: (bench) => bench.create(FIRST) },
  { phase: 'mtty-1-and-mtty-2', step: (bench) => bench.create(SECOND, 'mtty-2') },
  { phase: 'mtty-1-removed', step: (bench) => bench.echo('1', `/sys/bus/mdev/devices/${FIRST}/remove`) },
  { phase: 'all-removed', step: (bench) => bench.echo('1', `/sys/bus/mdev/devices/${SECOND}/remove`) },
  { phase: 'mtty-unloaded', step: async (bench) => bench.core.registrations.get('mtty')?.unregister() },
];

describe('the tree of each recorded phase', () => {
  const bench = new Bench();
  for (const { phase, step } of PHASES) {
    it(`${phase}: every recorded path is as recorded`, async () => {
      await step(bench);
      const records = recordsOf(phase);
      assert(records.size > 50);
      const differences: string[] = [];
      for (const [path, record] of records) {
        const wanted = expected(record);
        if (wanted === undefined) continue;
        const found = await actual(bench, path);
        try {
          assert.deepEqual(restrict(found, wanted), defined(wanted));
        } catch {
          const is = JSON.stringify(restrict(found, wanted));
          differences.push(`${path}: found ${is}, recorded ${JSON.stringify(defined(wanted))}`);
        }
      }
      assert.deepEqual(differences, []);
    });

    it(`${phase}: no path below the recorded directories is the lab's invention`, async () => {
      const records = recordsOf(phase);
      const known = new Set([...records.keys()]);
      const own = /\/migration_block$|\/migration\/features$|^\/sys\/module\/|\/misc\/iommu\/power$/;
      const extra: string[] = [];
      for (const [path, record] of records) {
        if (record['type'] !== 'dir' || !bench.exists(path)) continue;
        for (const name of bench.list(path)) {
          const child = `${path}/${name}`;
          if (!known.has(child) && !own.test(child)) extra.push(child);
        }
      }
      assert.deepEqual(extra, []);
    });
  }

  it('inode numbers are unique and the same when asked again', async () => {
    const fresh = new Bench();
    fresh.load();
    await fresh.create(FIRST);
    const numbers = (): Map<string, number> => {
      const found = new Map<string, number>();
      const visit = (dir: Dir): void => {
        for (const { name, ino } of dir.entries()) {
          const child = dir.lookup(name);
          assert(child !== undefined, `${dir.path}/${name} is listed but not there`);
          assert.equal(child.ino, ino, child.path);
          found.set(child.path, ino);
          if (child instanceof Dir) visit(child);
          child.forgotten();
        }
      };
      visit(fresh.machine.root);
      return found;
    };
    const first = numbers();
    assert.equal(new Set(first.values()).size, first.size);
    assert.deepEqual(numbers(), first);
  });
});
