/**
 * The group API against the recordings: sections `container` and `group`, asked in memory in the order of the real run.
 *
 * Records of what only a mounted tree answers (opening by path, fstat, lseek, mmap, ...) are the mounted tests' matter.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ioc } from '../../src/abi/ioctl.js';
import * as abi from '../../src/abi/vfio.js';
import type { KernelVersion } from '../../src/abi/kernel-profile.js';
import type { VfioRegistration } from '../../src/vfio/registrar.js';
import { loadGolden } from '../golden/load.js';
import type { GoldenKernel, GoldenRecord } from '../golden/load.js';
import { cString, FakeDevice, int32, UUID_A, UUID_B, VfioClient } from './vfio-client.js';
import type { IoctlResult, Result } from './vfio-client.js';

const KERNELS: readonly (readonly [GoldenKernel, KernelVersion])[] = [['stock', '6.12'], ['k2', '6.12'], ['s72', '7.2'], ['k72', '7.2']];
const PROBE_ONLY = new Set(['section-end', 'fd-lseek', 'fd-poll', 'fd-mmap', 'fd-fstat', 'fd-ftruncate', 'fd-fsync', 'fd-getfl', 'fd-name',
  'open-dev-vfio-dir', 'open-missing-group']);

type Fields = Readonly<Record<string, unknown>>;

/** Collects what the lab answers, in the form of the records. */
class Conversation {
  readonly records: Fields[] = [];
  readonly client: VfioClient;
  readonly a: VfioRegistration;
  readonly b: VfioRegistration;

  constructor(kernel: KernelVersion) {
    this.client = new VfioClient({ kernel });
    this.a = this.client.vfio.register({ name: UUID_A }, new FakeDevice());
    this.b = this.client.vfio.register({ name: UUID_B }, new FakeDevice());
  }

  record(op: string, fields: Fields, { ret, errno }: Result): void {
    this.records.push({ op, ...fields, ret, errno });
  }

  async ioctl(op: string, fields: Fields, fd: number, command: number, argument?: bigint | Uint8Array): Promise<IoctlResult> {
    const result = await this.client.ioctl(fd, command, argument);
    this.record(op, fields, result);
    return result;
  }

  async openContainer(flags: string): Promise<number> {
    const fd = this.client.openContainer();
    this.record('open-container', { flags }, { ret: 0, errno: '0' });
    return Promise.resolve(fd);
  }

  async openGroup(registration: VfioRegistration, op: string, fields: Fields): Promise<number> {
    const { ret, errno } = await this.client.openGroup(registration);
    this.record(op, fields, { ret: ret < 0 ? -1 : 0, errno });
    return ret;
  }

  async status(group: number, when: string): Promise<void> {
    const { bytes, ret, errno } = await this.client.ioctl(group, abi.VFIO_GROUP_GET_STATUS, abi.vfio_group_status.encode({ argsz: 8 }));
    const { argsz, flags } = abi.vfio_group_status.decode(bytes);
    this.record('GROUP_GET_STATUS', { when, argsz_out: argsz, flags }, { ret, errno });
  }

  async getDevice(group: number, when: string, name: string, argument: bigint | Uint8Array, fields: Fields = {}): Promise<number> {
    const { ret, errno } = await this.client.ioctl(group, abi.VFIO_GROUP_GET_DEVICE_FD, argument);
    this.record('GET_DEVICE_FD', { when, name, ...fields }, { ret: ret < 0 ? -1 : 0, errno });
    return ret;
  }

  setContainer(group: number, fd: string, argument: bigint | Uint8Array): Promise<IoctlResult> {
    return this.ioctl('SET_CONTAINER', { fd }, group, abi.VFIO_GROUP_SET_CONTAINER, argument);
  }

  async extensions(container: number, when: string, list = Array.from({ length: 21 }, (_, n) => n)): Promise<void> {
    for (const ext of list) await this.ioctl('CHECK_EXTENSION', { when, ext }, container, abi.VFIO_CHECK_EXTENSION, BigInt.asUintN(64, BigInt(ext)));
  }

  async setIommu(container: number, when: string, types: readonly number[]): Promise<void> {
    for (const type of types) await this.ioctl('SET_IOMMU', { when, type }, container, abi.VFIO_SET_IOMMU, BigInt(type));
  }

  /** The probe's fdops(), of which reads, writes and ioctls are the file's own. */
  async fdOperations(fd: string, number: number): Promise<void> {
    const file = this.client.file(number);
    const { request } = this.client;
    const refused = { ret: -1, errno: 'EINVAL' };
    const read = async (size: number): Promise<Result> =>
      file.read === undefined ? refused : { ret: (await file.read(request, 0, size)).length, errno: '0' };
    this.record('fd-read', { fd }, await read(4));
    this.record('fd-write', { fd }, file.write === undefined ? refused : { ret: await file.write(request, 0, new Uint8Array(4)), errno: '0' });
    this.record('fd-read-0', { fd }, await read(0));
    this.record('fd-pread', { fd }, await read(4));
    for (const [op, command] of [['TCGETS', 0x5401], ['random', 0xdeadbeef], ['vfio-range-unknown', ioc(0, 0x3b, 160, 0)]] as const) {
      await this.ioctl(`fd-ioctl-${op}`, { fd }, number, command);
    }
  }
}

async function containerSection(kernel: KernelVersion): Promise<readonly Fields[]> {
  const talk = new Conversation(kernel);
  const { client } = talk;
  for (const flags of ['O_RDWR', 'O_RDONLY', 'O_WRONLY']) {
    const fd = await talk.openContainer(flags);
    await talk.ioctl('GET_API_VERSION', { flags }, fd, abi.VFIO_GET_API_VERSION);
    await client.close(fd);
  }
  const c = client.openContainer();
  await talk.ioctl('GET_API_VERSION', { arg: 'junk' }, c, abi.VFIO_GET_API_VERSION, 12345n);
  await talk.extensions(c, 'no group', [...Array.from({ length: 21 }, (_, n) => n), -1]);
  await talk.setIommu(c, 'no group', Array.from({ length: 11 }, (_, n) => n));
  const info = new Uint8Array(600);
  abi.vfio_iommu_type1_info.patch(info, { argsz: info.length });
  await talk.ioctl('IOMMU_GET_INFO', { when: 'no group' }, c, abi.VFIO_IOMMU_GET_INFO, info);
  const map = abi.vfio_iommu_type1_dma_map.encode({ argsz: 32, flags: 3, size: 4096n });
  await talk.ioctl('MAP_DMA', { when: 'no group' }, c, abi.VFIO_IOMMU_MAP_DMA, map);
  await talk.ioctl('group-ioctl-on-container', { x: '' }, c, abi.VFIO_GROUP_GET_STATUS, info);
  await talk.ioctl('device-ioctl-on-container', { x: '' }, c, abi.VFIO_DEVICE_GET_INFO, info);
  await talk.fdOperations('container, no group', c);
  return talk.records;
}

async function groupSection(kernel: KernelVersion): Promise<readonly Fields[]> {
  const talk = new Conversation(kernel);
  const { client, a, b } = talk;
  const { caller } = client;
  for (const flags of ['O_RDWR', 'O_RDONLY', 'O_WRONLY', 'O_RDWR|O_NONBLOCK']) {
    const fd = await talk.openGroup(a, 'open-group', { flags });
    await talk.status(fd, flags);
    await client.close(fd);
  }
  let g = (await client.openGroup(a)).ret;
  await talk.openGroup(a, 'open-group-second-time', {});
  await talk.status(g, 'opened, no container');
  for (const argsz of [4, 0, 7]) {
    await talk.ioctl('GROUP_GET_STATUS', { when: `argsz ${argsz}` }, g, abi.VFIO_GROUP_GET_STATUS, abi.vfio_group_status.encode({ argsz }));
  }
  const odd = await client.ioctl(g, abi.VFIO_GROUP_GET_STATUS, abi.vfio_group_status.encode({ argsz: 100, flags: 0xff }));
  const { argsz, flags } = abi.vfio_group_status.decode(odd.bytes);
  talk.record('GROUP_GET_STATUS', { when: 'argsz 100, flags 0xff in', argsz_out: argsz, flags }, odd);
  await talk.ioctl('GROUP_GET_STATUS', { when: 'NULL' }, g, abi.VFIO_GROUP_GET_STATUS, 0n);
  await talk.getDevice(g, 'no container', UUID_A, cString(UUID_A));
  await talk.getDevice(g, 'no container', 'nope', cString('nope'));
  await talk.getDevice(g, 'no container', 'NULL', 0n);
  await talk.ioctl('UNSET_CONTAINER', { when: 'not set' }, g, abi.VFIO_GROUP_UNSET_CONTAINER);
  await talk.setContainer(g, '-1', int32(-1));
  await talk.setContainer(g, '999 (closed)', int32(999));
  await talk.setContainer(g, '/dev/null', int32(caller.install('other')));
  await talk.setContainer(g, 'the group itself', int32(g));
  await talk.setContainer(g, 'NULL pointer', 0n);
  let c = client.openContainer();
  await talk.setContainer(g, 'container', int32(c));
  await talk.status(g, 'container set, no IOMMU');
  await talk.setContainer(g, 'same container again', int32(c));
  const c2 = client.openContainer();
  await talk.setContainer(g, 'another container', int32(c2));
  await client.close(c2);
  await talk.extensions(c, 'group set, no IOMMU');
  await talk.getDevice(g, 'container set, no IOMMU', UUID_A, cString(UUID_A));
  await talk.setIommu(c, 'group set', [0, 2, 4, 5, 7, 8, 9, 10, 11, 12, 3]);
  await talk.setIommu(c, 'already set', [3, 1, 99]);
  await talk.extensions(c, 'TYPE1v2 set');
  await talk.status(g, 'IOMMU set');
  await talk.getDevice(g, 'ready', 'nope', cString('nope'));
  await talk.getDevice(g, 'ready', '', cString(''));
  await talk.getDevice(g, 'ready', 'uuid of a device in another group', cString(UUID_B));
  await talk.getDevice(g, 'ready', 'uppercase uuid', cString(UUID_A.toUpperCase()));
  await talk.getDevice(g, 'ready', 'uuid+newline', cString(`${UUID_A}\n`));
  await talk.getDevice(g, 'ready', "uuid+' xyz'", cString(`${UUID_A} xyz`));
  await talk.getDevice(g, 'ready', 'bad address', 8n);
  await talk.getDevice(g, 'ready', "8191 a's", cString('a'.repeat(8191)));
  const d = await talk.getDevice(g, 'ready', UUID_A, cString(UUID_A), { cloexec: 1 });
  const d2 = await talk.getDevice(g, 'second fd of the same device', UUID_A, cString(UUID_A));
  await talk.status(g, 'device open');
  await talk.ioctl('UNSET_CONTAINER', { when: 'device open' }, g, abi.VFIO_GROUP_UNSET_CONTAINER);
  await talk.fdOperations('group', g);
  await talk.fdOperations('container', c);
  await client.close(d2);
  await talk.fdOperations('device', d);
  const status = abi.vfio_group_status.encode({ argsz: 8 });
  await talk.ioctl('group-ioctl-on-device', { x: '' }, d, abi.VFIO_GROUP_GET_STATUS, status);
  await talk.ioctl('device-ioctl-on-group', { x: '' }, g, abi.VFIO_DEVICE_GET_INFO, status);
  await talk.ioctl('container-ioctl-on-group', { x: '' }, g, abi.VFIO_GET_API_VERSION);
  await talk.ioctl('container-ioctl-on-device', { x: '' }, d, abi.VFIO_GET_API_VERSION);
  await client.close(g);
  await talk.openGroup(a, 'open-group', { flags: 'O_RDWR, while a device fd is open and the group fd was closed' });
  await client.close(c);
  await client.close(d);
  g = await talk.openGroup(a, 'open-group', { flags: 'O_RDWR, all closed' });
  await talk.status(g, 'reopened');
  c = client.openContainer();
  await client.ioctl(g, abi.VFIO_GROUP_SET_CONTAINER, int32(c));
  await talk.setIommu(c, 'group set', [1]);
  await talk.ioctl('UNSET_CONTAINER', { when: 'no device open' }, g, abi.VFIO_GROUP_UNSET_CONTAINER);
  await talk.status(g, 'after UNSET_CONTAINER');
  await talk.extensions(c, 'after UNSET_CONTAINER', [3]);
  const info = abi.vfio_iommu_type1_info.encode({ argsz: 24 });
  await talk.ioctl('IOMMU_GET_INFO', { when: 'after UNSET_CONTAINER' }, c, abi.VFIO_IOMMU_GET_INFO, info);
  await talk.setContainer(g, 'same container after UNSET', int32(c));
  await talk.setIommu(c, 'group set', [6]);
  await client.ioctl(g, abi.VFIO_GROUP_UNSET_CONTAINER);
  await client.ioctl(g, abi.VFIO_GROUP_SET_CONTAINER, int32(c));
  await talk.setIommu(c, 'after re-SET_CONTAINER', [3]);
  const g2 = (await client.openGroup(b)).ret;
  await talk.setContainer(g2, 'second group into a container with an IOMMU', int32(c));
  await talk.status(g2, 'second group');
  const other = await talk.getDevice(g2, 'second group', UUID_B, cString(UUID_B));
  await talk.getDevice(g, 'first group, device of the second', UUID_B, cString(UUID_B));
  for (const fd of [other, g2, g, c]) await client.close(fd);
  await client.openGroup(a);
  await talk.openGroup(a, 'open-group', { flags: 'O_RDWR, by another process while open' });
  assert.equal(a.inUse || b.inUse, false, 'no device is left open');
  return talk.records;
}

/** Of the recorded ones: what a file in memory can't be asked. */
const isAsked = (record: GoldenRecord): boolean =>
  !PROBE_ONLY.has(record.op) && !String(record['flags']).includes('uid 1000') && !(record.op === 'DEVICE_GET_INFO');

const METADATA = new Set(['kernel', 'i', 'area', 'sec', 'unstable']);
const fieldsOf = (record: GoldenRecord): Fields => Object.fromEntries(Object.entries(record).filter(([key]) => !METADATA.has(key)));

describe('group API', () => {
  for (const [golden, kernel] of KERNELS) {
    for (const [sec, run] of [['container', containerSection], ['group', groupSection]] as const) {
      it(`answers section ${sec} as ${golden} did`, async () => {
        const expected = loadGolden('vfio-conversation', { kernel: golden, sec }).filter(isAsked).map(fieldsOf);
        const answers = await run(kernel);
        for (let n = 0; n < Math.max(expected.length, answers.length); n++) assert.deepEqual(answers[n], expected[n], `record ${n}`);
      });
    }
  }
});
