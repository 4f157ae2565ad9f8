/**
 * The kernfs contract: what any way to the tree (in memory, through a mount) must answer. Expected values come from the
 * golden records of a real kernel wherever one exists. Reads and writes are positioned, as read(2) and write(2) are for kernfs.
 */
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { GoldenRecord } from '../golden/load.js';
import { loadGolden, number, text } from '../golden/load.js';
import type { Fixture } from './fixture.js';
import { buildFixture } from './fixture.js';

export interface ContractFile {
  /** pread(2) */
  read(size: number, offset: number): Promise<Uint8Array>;
  /** pwrite(2) */
  write(data: Uint8Array, offset: number): Promise<number>;
  close(): Promise<void>;
}

export interface ContractStat {
  readonly mode: number;
  readonly size: number;
  readonly nlink: number;
  readonly ino: number;
  readonly uid: number;
  readonly gid: number;
}

/** Errors are thrown with the errno's name as `code`. */
export interface ContractSubject {
  open(path: string, flags: number): Promise<ContractFile>;
  stat(path: string): Promise<ContractStat>;
  readdir(path: string): Promise<string[]>;
  readlink(path: string): Promise<string>;
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  dispose(): Promise<void>;
}

export type ContractFactory = (fixture: Fixture) => Promise<ContractSubject>;

const DEVICE = 'sys/device';
const { O_RDONLY, O_WRONLY, O_RDWR } = constants;
const decode = (data: Uint8Array): string => new TextDecoder().decode(data);
const encode = (data: string): Uint8Array => new TextEncoder().encode(data);

/** The outcome of an operation as the golden records spell it. */
async function outcome<T>(operation: Promise<T>): Promise<{ errno: string; value?: T }> {
  try {
    return { errno: '0', value: await operation };
  } catch (error) {
    return { errno: (error as { code?: string }).code ?? String(error) };
  }
}

/** `O_RDWR|O_TRUNC` as a number; undefined with flags that the contract leaves to the kernel. */
function openFlags(names: string): number | undefined {
  if (names === 'O_ACCMODE(3)') return 3;
  const allowed = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_TRUNC', 'O_APPEND', 'O_NONBLOCK'];
  const parts = names.split('|');
  if (!parts.every((part) => allowed.includes(part))) return undefined;
  return parts.reduce((flags, part) => flags | (constants as unknown as Record<string, number>)[part]!, 0);
}

const kernfs = (sec: string, more: object = {}): readonly GoldenRecord[] =>
  loadGolden('kernfs-semantics', { kernel: 'stock', sec, ...more });

export function kernfsContract(name: string, factory: ContractFactory): void {
  describe(`kernfs contract: ${name}`, { timeout: 30_000 }, () => {
    let fixture: Fixture;
    let subject: ContractSubject;
    before(async () => {
      fixture = buildFixture();
      subject = await factory(fixture);
    });
    after(() => subject.dispose());

    const withFile = async (path: string, flags: number, use: (file: ContractFile) => Promise<void>): Promise<void> => {
      const file = await subject.open(`${DEVICE}/${path}`, flags);
      try {
        await use(file);
      } finally {
        await file.close();
      }
    };

    it('open answers every access mode of every kind of file as the kernel does for root', async () => {
      const files: Record<string, string> = { '0444 file': 'name', '0200 file': 'create', '0644 file': 'uevent' };
      let compared = 0;
      for (const record of kernfs('open', { op: 'open', who: 'root' })) {
        const path = files[text(record, 'kind')];
        const flags = openFlags(text(record, 'flags'));
        if (path === undefined || flags === undefined) continue;
        const { errno, value } = await outcome(subject.open(`${DEVICE}/${path}`, flags));
        await value?.close();
        assert.equal(errno, record.errno, `${path} ${text(record, 'flags')}`);
        compared++;
      }
      assert.ok(compared >= 18, `${compared} records`);
    });

    it('read answers every position of a run of reads as the kernel does', async () => {
      const records = kernfs('read', { op: ['read', 'pread'] });
      const end = records.findIndex((record) => record.what === 'large buffer') + 1;
      await withFile('name', O_RDONLY, async (file) => {
        let position = 0;
        for (const record of records.slice(0, end)) {
          if (record.errno !== '0') continue;
          const what = text(record, 'what');
          const seek = /after lseek (\d+)/.exec(what)?.[1];
          if (what === 'after lseek to the length') position = 19;
          else if (seek !== undefined) position = Number(seek);
          const at = record.op === 'pread' ? number(record, 'offset') : position;
          const data = await file.read(number(record, 'n'), at);
          if (record.op === 'read') position += data.length;
          assert.equal(decode(data), record.out, what);
          assert.equal(position, record.pos, what);
        }
      });
    });

    it('a run of reads sees one snapshot; position 0 and another position see the present', async () => {
      await withFile('available_instances', O_RDONLY, async (file) => {
        fixture.model.available = 23;
        assert.equal(decode(await file.read(1, 0)), '2');
        fixture.model.available = 41;
        assert.equal(decode(await file.read(64, 1)), '3\n', 'the rest of the snapshot');
        assert.equal(decode(await file.read(64, 3)), '', 'its end');
        assert.equal(decode(await file.read(64, 1)), '1\n', 'elsewhere');
        fixture.model.available = 23;
        assert.equal(decode(await file.read(64, 0)), '23\n', 'the start');
      });
    });

    it('content is that of the first read, not of the open, and each open file has its own', async () => {
      fixture.model.available = 23;
      await withFile('available_instances', O_RDONLY, async (first) => {
        fixture.model.available = 22;
        assert.equal(decode(await first.read(1, 0)), '2');
        await withFile('available_instances', O_RDONLY, async (second) => {
          fixture.model.available = 21;
          assert.equal(decode(await second.read(64, 0)), '21\n');
        });
        assert.equal(decode(await first.read(64, 1)), '2\n');
      });
    });

    it('a show that fails fails again on the next read', async () => {
      await withFile('power/autosuspend_delay_ms', O_RDONLY, async (file) => {
        for (const record of kernfs('read', { path: 'power/autosuspend_delay_ms' })) {
          assert.equal((await outcome(file.read(64, 0))).errno, record.errno);
        }
      });
    });

    it('more content than 4095 bytes is cut there', async () => {
      await withFile('huge', O_RDONLY, async (file) => {
        assert.equal((await file.read(9000, 0)).length, 4095);
      });
    });

    it('write gives the store a page at most and answers its length', async () => {
      await withFile('drivers_autoprobe', O_WRONLY, async (file) => {
        for (const record of kernfs('write', { op: 'write-accepting-store' })) {
          fixture.model.stores.length = 0;
          const size = number(record, 'n');
          assert.equal(await file.write(encode('1'.repeat(size)), 0), record.ret, `${size} bytes`);
          assert.deepEqual(fixture.model.stores.map(({ length }) => length), size === 0 ? [] : [record.ret], `${size} bytes`);
        }
      });
      await withFile('power/control', O_WRONLY, async (file) => {
        for (const record of kernfs('write', { op: 'write-junk' })) {
          const { errno } = await outcome(file.write(encode('x'.repeat(number(record, 'n'))), 0));
          assert.equal(errno, record.errno, `${String(record.n)} bytes`);
        }
      });
    });

    it('a write at any offset is a whole store, and reads continue at the position behind it', async () => {
      const records = kernfs('write', { op: ['write', 'read', 'pread', 'write-at-current-position', 'pwrite', 'write-partial'] });
      let position = 0;
      fixture.model.control = 'auto';
      await withFile('power/control', O_RDWR, async (file) => {
        for (const record of records) {
          if (record.op === 'pwrite' && number(record, 'offset') < 0) continue;
          if (record.op === 'read' || record.op === 'pread') {
            const at = record.op === 'pread' ? number(record, 'offset') : position;
            if (record.i > (records.find(({ op }) => op === 'write-partial')?.i ?? Infinity)) break;
            const data = await file.read(number(record, 'n'), at);
            if (record.op === 'read') position += data.length;
            assert.equal(decode(data), record.out, `record ${record.i}`);
            continue;
          }
          const data = typeof record.in === 'string' ? record.in : record.ret === 2 ? 'on' : 'auto';
          const at = record.op === 'pwrite' ? number(record, 'offset') : position;
          const { errno, value } = await outcome(file.write(encode(data), at));
          assert.equal(errno, record.errno, `record ${record.i}`);
          if (record.op !== 'pwrite' && value !== undefined) position += value;
        }
      });
      assert.equal(fixture.model.control, 'on');
    });

    it('stat tells sizes, links and modes as kernfs', async () => {
      const file = await subject.stat(`${DEVICE}/uevent`);
      assert.deepEqual([file.mode, file.size, file.nlink, file.uid, file.gid], [0o100644, 4096, 1, 0, 0]);
      const dir = await subject.stat(DEVICE);
      assert.deepEqual([dir.mode, dir.size, dir.nlink], [0o040755, 0, 3]);
      assert.equal((await subject.stat(`${DEVICE}/power`)).nlink, 2);
      assert.equal(await subject.readlink(`${DEVICE}/link`), '../target');
    });

    it('an inode number stays the same over lookups', async () => {
      const { ino } = await subject.stat(`${DEVICE}/power/control`);
      assert.equal((await subject.stat(`${DEVICE}/power/control`)).ino, ino);
    });

    it('readdir lists in the order of the name hash', async () => {
      assert.deepEqual(await subject.readdir(`${DEVICE}/power`), ['autosuspend_delay_ms', 'control']);
      assert.deepEqual(
        (await subject.readdir(DEVICE)).filter((entry) => ['uevent', 'power'].includes(entry)),
        ['uevent', 'power'],
      );
    });

    it('chmod opens what the mode forbade; an attribute without show or store then answers EIO', async () => {
      const recorded = (op: string): string | undefined => kernfs('attributes', { op })[0]?.errno;
      await subject.chmod(`${DEVICE}/create`, 0o666);
      await withFile('create', O_RDWR, async (file) => {
        assert.equal((await outcome(file.read(64, 0))).errno, recorded('read-of-create-with-mode-0666'));
      });
      await subject.chmod(`${DEVICE}/create`, 0o200);
      await subject.chmod(`${DEVICE}/name`, 0o644);
      await withFile('name', O_WRONLY, async (file) => {
        assert.equal((await outcome(file.write(encode('x'), 0))).errno, recorded('write-of-name-with-mode-0644'));
      });
      assert.equal((await subject.stat(`${DEVICE}/name`)).mode, 0o100644);
      await subject.chmod(`${DEVICE}/name`, 0o444);
    });

    it('chmod keeps the set-id bits and chown changes the owner', async () => {
      await subject.chmod(`${DEVICE}/huge`, 0o1444);
      await subject.chown(`${DEVICE}/huge`, 1000, 1000);
      const { mode, uid, gid } = await subject.stat(`${DEVICE}/huge`);
      assert.deepEqual([mode, uid, gid], [0o101444, 1000, 1000]);
    });

    it('an attribute that was removed while open serves the rest of its snapshot, then ENODEV', async () => {
      const local = buildFixture();
      const other = await factory(local);
      try {
        const begun = await other.open(`${DEVICE}/name`, O_RDONLY);
        const fresh = await other.open(`${DEVICE}/uevent`, O_RDWR);
        assert.equal(decode(await begun.read(10, 0)), 'Single por');
        await local.tree.remove(local.device);
        assert.equal(decode(await begun.read(64, 10)), 't serial\n');
        assert.equal((await outcome(begun.read(64, 19))).errno, 'ENODEV');
        assert.equal((await outcome(begun.read(64, 0))).errno, 'ENODEV');
        assert.equal((await outcome(fresh.read(64, 0))).errno, 'ENODEV');
        assert.equal((await outcome(fresh.write(encode('add'), 0))).errno, 'ENODEV');
        assert.equal((await outcome(other.stat(`${DEVICE}/uevent`))).errno, 'ENOENT');
        assert.equal((await outcome(other.open(DEVICE, O_RDONLY))).errno, 'ENOENT');
        await begun.close();
        await fresh.close();
      } finally {
        await other.dispose();
      }
    });
  });
}
