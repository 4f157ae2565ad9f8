/** Devices over QMP, in one lab: stock QEMU and then ours are told to add them, with mistakes, and asked about them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MDEVSIM } from '../cli/mdevsim.js';
import { SOURCE, TARGET, TestLab } from '../e2e/lab.js';
import { qemuMajor, whyNoQemu } from '../e2e/requirements.js';
import { QEMU } from '../e2e/vm.js';
import type { Line } from './qmp-peer.js';
import { Peer } from './qmp-peer.js';
import { reconcile } from './qmp-versions.js';

const skip = whyNoQemu();
const sysfsdev = (uuid: string): string => `/sys/bus/mdev/devices/${uuid}`;
const add = (args: object): readonly [string, object] => ['device_add', { driver: 'vfio-pci', ...args }];
const get = (path: string, property: string): readonly [string, object] => ['qom-get', { path, property }];

const there = { sysfsdev: sysfsdev(SOURCE) };
const nowhere = { sysfsdev: '/nonexistent' };
const SCRIPT: readonly (readonly [execute: string, args?: object])[] = [
  // Nothing is added yet.
  add({}), add({ sysfsdev: 5 }), add(nowhere), add({ sysfsdev: '/tmp' }), add({ driver: 5 }), add({ driver: null }),
  add({ driver: 'vfio' }),
  ['device_add', {}], ['device_add'],
  ...[5, '1x', 'a b', '', 'a.b_c-d', null].map((id) => add({ ...nowhere, id })),
  ...['nope', 5, ''].map((bus) => add({ ...nowhere, bus })), add({ ...there, nope: 1 }), add({ ...there, 'x-nope': 1 }),
  ...['x', true, 5, null].map((value) => add({ ...there, 'enable-migration': value })),
  ...['x', 'on', 1, null].map((value) => add({ ...there, 'migration-events': value })),
  ...['x-device-dirty-page-tracking', 'x-pre-copy-dirty-page-tracking', 'x-migration-multifd-transfer'].flatMap((property) =>
    ['x', true, 5, null].map((value) => add({ ...there, [property]: value }))),
  ...['x', '20', '1.8', '', 300, -2, 1.5, true, '01.0.0'].map((addr) => add({ ...there, addr })),
  ['qom-list', { path: '/machine/peripheral' }],
  add({ ...there, 'id': 'vf1', 'addr': '10', 'migration-events': true, 'enable-migration': 'on' }),
  add({ ...there, id: 'vf1' }), add({ ...there, id: 'vf2' }), add({ sysfsdev: sysfsdev(TARGET), id: 'vf1' }),
  add({ sysfsdev: sysfsdev(TARGET), id: 'vf2', addr: '10' }), add({ sysfsdev: sysfsdev(TARGET), id: 'vf2', addr: '10.1' }),
  ['qom-list', { path: '/machine/peripheral' }],
  // Its name is that of its parent's parent.
  add({
    'sysfsdev': sysfsdev(TARGET), 'id': 'machine', 'addr': 136, 'x-device-dirty-page-tracking': 'auto', 'x-pre-copy-dirty-page-tracking': 'off',
    'x-migration-multifd-transfer': 'on',
  }),
  ['qom-list', { path: '/machine/peripheral' }],
  get('machine', 'type'), ['qom-list', { path: 'machine' }], ['qom-set', { path: 'machine', property: 'x', value: 1 }],
  ...['peripheral/machine', 'vf1', '/machine/peripheral/vf1', '/machine/peripheral/vf1/', '//machine//peripheral/vf1',
  'peripheral/vf1',
    'eral/vf1', 'f1', '', '.', 'vf1/', '/vf1', 'machine/vf1', 'machine/peripheral/vf1'].map((path) => get(path, 'type')),
  ...['sysfsdev', 'enable-migration', 'migration-events', 'addr', 'legacy-addr', 'realized', 'hotplugged', 'hotpluggable',
  'nope',
    'x-device-dirty-page-tracking', 'x-pre-copy-dirty-page-tracking', 'x-migration-multifd-transfer'].flatMap((property) => [
    get('vf1', property), get('peripheral/machine', property),
  ]),
  ...['x-device-dirty-page-tracking', 'x-pre-copy-dirty-page-tracking', 'x-migration-multifd-transfer'].flatMap((property) =>
    ['off', 'auto', 'x', true, 5, null].map((value): [string, object] => ['qom-set', { path: 'vf1', property, value }])),
  get('vf1', 'x-migration-multifd-transfer'),
  ['qom-set', { path: 'vf1', property: 'enable-migration', value: 'off' }], ['qom-set', { path: 'vf1', property: 'nope',
  value: 1 }],
  ...['nope', 5, '/nope', '', null, '/machine/peripheral', '/machine'].map((id): [string, object] => ['device_del', { id }]),
  ['device_del'],
];

async function tell(peer: Peer): Promise<[string, Line[]][]> {
  try {
    await peer.greeting();
    await peer.command('qmp_capabilities');
    const rows: [string, Line[]][] = [];
    for (const [execute, args] of SCRIPT) {
      const lines = await peer.command(execute, args);
      // QEMU's are in the order of a hash table.
      for (const list of lines.map((line) => line['return'])) {
        if (Array.isArray(list)) list.sort((one: object,
        other: object) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
      }
      rows.push([`${execute} ${JSON.stringify(args)}`, lines]);
    }
    return rows;
  } finally {
    await peer.end();
  }
}

describe('devices over QMP, as stock QEMU speaks it', { timeout: 110_000, ...(skip === undefined ? {} : { skip }) }, () => {
  it('are added, refused, named and looked at alike', () => TestLab.with({}, async (lab) => {
    const [a, b] = [join(lab.scratch, 'a'), join(lab.scratch, 'b')];
    const qemu = await tell(new Peer('QEMU', [
      ...MDEVSIM, 'run', '--lab', lab.dir, '--', QEMU, '-M', 'pc,accel=tcg', '-m', '64M', '-nodefaults', '-display', 'none',
      '-no-user-config', '-S', '-qmp', `unix:${b},server=on,wait=off`,
    ], b));
    const ours = await tell(new Peer('mdevsim vmm', [...MDEVSIM, 'vmm', '--lab', lab.dir, '-S', '--qmp', `unix:${a}`], a));
    const found = qemu.flatMap(([what, lines], index) => {
      const comparable = reconcile(qemuMajor(), lines, ours[index]?.[1]);
      const texts = [comparable.qemu, comparable.ours].map((told) => JSON.stringify(told));
      return texts[0] === texts[1] ? [] : [`${what}\n  QEMU: ${texts[0]}\n  ours: ${texts[1]}`];
    });
    assert.equal(found.join('\n'), '');
  }));
});
