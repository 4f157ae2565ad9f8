/** The GPU as a parent: its files as a PCI device, its types, and what they share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { Machine } from '../../src/device/machine.js';
import { createDriver } from '../../src/drivers/index.js';
import { createGvtDriver } from '../../src/drivers/gvt/index.js';
import type { GvtOptions } from '../../src/drivers/gvt/index.js';
import { readAttribute, writeAttribute } from '../../src/lab/attributes.js';
import { MdevCore } from '../../src/mdev/core.js';
import type { MdevDevice } from '../../src/mdev/device.js';
import { Vfio } from '../../src/vfio/registrar.js';

const GPU = 'sys/devices/pci0000:00/0000:00:02.0';
const uuid = (n: number): string => `83b8f4f2-509f-382f-3c1e-e6bfe0fa10${String(n).padStart(2, '0')}`;

class Rig {
  readonly core = new MdevCore(new Machine(), new Vfio());
  readonly registration;
  #created = 0;

  constructor(options: GvtOptions = {}, parents = 1) {
    this.registration = this.core.registerDriver(createGvtDriver(options), parents);
  }

  read(path: string): Promise<string> {
    return readAttribute(this.core.machine.root, path);
  }
  /** `0`, or the errno. */
  async write(path: string, text: string): Promise<string> {
    try {
      await writeAttribute(this.core.machine.root, path, text);
      return '0';
    } catch (error) {
      if (!isErrno(error)) throw error;
      return error.code;
    }
  }
  create(size: 4 | 8): MdevDevice {
    return this.core.create(this.registration.type(`i915-GVTg_V5_${size}`), uuid(this.#created++));
  }
  available(): number[] {
    return ([8, 4] as const).map((size) => this.registration.type(`i915-GVTg_V5_${size}`).availableInstances);
  }
}

test('the types have the files of the kernel\'s', async () => {
  const rig = new Rig();
  const of = (type: string, file: string): Promise<string> => rig.read(`${GPU}/mdev_supported_types/${type}/${file}`);
  assert.equal(await of('i915-GVTg_V5_4', 'description'),
    'low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\nresolution: 1920x1200\nweight: 4\n');
  assert.equal(await of('i915-GVTg_V5_8', 'description'),
    'low_gm_size: 64MB\nhigh_gm_size: 384MB\nfence: 4\nresolution: 1024x768\nweight: 2\n');
  for (const type of ['i915-GVTg_V5_4', 'i915-GVTg_V5_8']) {
    assert.equal(await of(type, 'device_api'), 'vfio-pci\n');
    assert.equal(await of(type, 'name'), `${type.slice('i915-'.length)}\n`);
  }
});

test('the types share the GPU\'s memory and fences', () => {
  const rig = new Rig();
  assert.deepEqual(rig.available(), [7, 5]);
  const large = rig.create(4);
  assert.deepEqual(rig.available(), [5, 4]);
  const small = Array.from({ length: 5 }, () => rig.create(8));
  assert.deepEqual(rig.available(), [0, 0]);
  assert.throws(() => rig.create(8), (error) => isErrno(error, 'ENOSPC'));
  for (const device of [large, ...small]) void rig.core.remove(device);
  assert.deepEqual(rig.available(), [7, 5]);
});

test('the size of the aperture says how many there can be', () => {
  const expected = { 256: [2, 1], 512: [6, 3], 1024: [7, 5] };
  for (const [aperture, available] of Object.entries(expected)) {
    assert.deepEqual(new Rig({ aperture: Number(aperture) }).available(), available, aperture);
  }
});

test('vgpu_id is the lowest number that is free', async () => {
  const rig = new Rig();
  const id = (device: MdevDevice): Promise<string> => rig.read(`sys${device.path}/intel_vgpu/vgpu_id`);
  const [first, second] = [rig.create(8), rig.create(4)];
  assert.deepEqual(await Promise.all([first, second].map(id)), ['1\n', '2\n']);
  void rig.core.remove(first);
  assert.equal(await id(rig.create(8)), '1\n');
  assert.equal(await id(rig.create(8)), '3\n');
});

test('the parent is a PCI device of driver i915 on bus pci, and on mdev_bus', async () => {
  const rig = new Rig({}, 31);
  const files = {
    vendor: '0x8086\n', device: '0x1912\n', subsystem_vendor: '0x8086\n', subsystem_device: '0x2212\n', class: '0x030000\n',
    revision: '0x06\n', modalias: 'pci:v00008086d00001912sv00008086sd00002212bc03sc00i00\n', numa_node: '-1\n', irq: '0\n',
    enable: '1\n', boot_vga: '1\n',
    uevent: 'DRIVER=i915\nPCI_CLASS=30000\nPCI_ID=8086:1912\nPCI_SUBSYS_ID=8086:2212\nPCI_SLOT_NAME=0000:00:02.0\n' +
      'MODALIAS=pci:v00008086d00001912sv00008086sd00002212bc03sc00i00\n',
  };
  for (const [file, content] of Object.entries(files)) assert.equal(await rig.read(`${GPU}/${file}`), content, file);
  const [bar0, , bar2, ...rest] = (await rig.read(`${GPU}/resource`)).trimEnd().split('\n');
  assert.equal(bar0, '0x00000000f6000000 0x00000000f6ffffff 0x0000000000140204');
  assert.equal(bar2, '0x0000002000000000 0x000000203fffffff 0x000000000014220c');
  assert.deepEqual(rest, Array.from({ length: 10 }, () => '0x0000000000000000 0x0000000000000000 0x0000000000000000'));
  const { parents } = rig.registration;
  assert.deepEqual([parents[1]?.name, parents[29]?.name, parents[30]?.name], ['0000:00:03.0', '0000:00:1f.0', '0000:00:02.1']);
  const { root } = rig.core.machine;
  for (const link of ['bus/pci/devices', 'bus/pci/drivers/i915', 'class/mdev_bus']) {
    assert.ok(root.find(`sys/${link}/0000:00:02.0`), link);
  }
  await rig.registration.unregister();
  for (const gone of ['bus/pci', 'devices/pci0000:00', 'module/i915', 'class/mdev_bus/0000:00:02.0']) {
    assert.equal(root.find(`sys/${gone}`), undefined, gone);
  }
});

test('the knob protocol is the driver\'s at first, and changes while nobody has the device open', async () => {
  const rig = new Rig({ protocol: 'v1' });
  const device = rig.create(8);
  const knob = `sys/kernel/debug/mdevsim/${device.uuid}/protocol`;
  assert.equal(await rig.read(knob), 'v1\n');
  assert.equal(await rig.write(knob, 'v3\n'), 'EINVAL');
  assert.equal(await rig.write(knob, 'v2\n'), '0');
  assert.equal(await rig.read(knob), 'v2\n');
});

test('the knob dma takes a program and off, and nothing else', async () => {
  const rig = new Rig();
  const knob = `sys/kernel/debug/mdevsim/${rig.create(8).uuid}/dma`;
  assert.equal(await rig.read(knob), 'off\nrounds 0\nerrors 0\n');
  const wrong = [
    '', '1', '0x1000 0x1000', '0x1000 0x1000 5 6', '0x1000 0 5', '0x1000 0x1000 0', '-1 1 1', '0x1000 0x4000001 5', 'a b c',
    '0xfffffffffffff000 0x2000 5', '0x1000 0x1000 0x80000000', '08 16 1',
  ];
  for (const text of wrong) assert.equal(await rig.write(knob, `${text}\n`), 'EINVAL', text);
  assert.equal(await rig.write(knob, '0x10000000000000000 16 1'), 'ERANGE');
  assert.equal(await rig.write(knob, '010 0X10 1'), '0', 'numbers as C has them');
  assert.equal(await rig.read(knob), '0x8 0x10 1\nrounds 0\nerrors 0\n');
  assert.equal(await rig.write(knob, '0x100000 65536 5\n'), '0');
  assert.equal(await rig.read(knob), '0x100000 0x10000 5\nrounds 0\nerrors 0\n');
  assert.equal(await rig.write(knob, 'off\n'), '0');
  assert.equal(await rig.read(knob), 'off\nrounds 0\nerrors 0\n');
});

test('options that make no sense are told in a sentence', () => {
  const wrong = [
    [{ protocol: 'v0' }, /protocol of driver gvt is one of v2, v1.*, not 'v0'/],
    [{ aperture: 300 }, /aperture of driver gvt is one of 256, 512, 1024 \(MiB\), not 300/],
    [{ aperture: [256] }, /aperture of driver gvt .*, not \[256\]/],
    [{ aperture: '256 ' }, /aperture of driver gvt .*, not '256 '/],
    [{ protocol: ['v1'] }, /protocol of driver gvt .*, not \["v1"\]/],
    [{ nope: 1 }, /driver gvt has no option 'nope': use protocol, aperture/],
  ] as const;
  for (const [own, message] of wrong) assert.throws(() => createDriver('gvt', { own }), message);
  assert.equal(createDriver('gvt', { own: { protocol: 'v1', aperture: '512' } }).name, 'gvt');
  assert.throws(() => createGvtDriver().createParent(240), /room for 240 parents/);
});
