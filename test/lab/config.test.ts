/** Lab files without a mount: what is wrong in them and where, and what becomes of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { SCHEMA_FILE, schemaText } from '../../scripts/lab-file-schema.js';
import { Errno } from '../../src/abi/errno.js';
import { buildMachine } from '../../src/lab/build.js';
import { parseLabFile } from '../../src/lab/config/load.js';
import { LabFileError } from '../../src/lab/config/problem.js';
import type { LabFileProblem } from '../../src/lab/config/problem.js';
import { setUpDevices } from '../../src/lab/setup.js';
import type { SetupProblem } from '../../src/lab/setup.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa10fe';

function problems(text: string): readonly LabFileProblem[] {
  try {
    parseLabFile('lab.yaml', text);
  } catch (error) {
    if (error instanceof LabFileError) return error.problems;
    throw error;
  }
  return [];
}

const brief = (found: readonly LabFileProblem[]): string[] =>
  found.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);

/** What Lab.mount() does before it mounts. */
async function refused(text: string): Promise<string[]> {
  const file = parseLabFile('lab.yaml', text);
  const found: SetupProblem[] = [];
  const core = buildMachine(file, (path, error) => void found.push({ path, error }));
  if (found.length === 0) await setUpDevices(core, file.devices, (path, error) => void found.push({ path, error }));
  if (found.length === 0) return [];
  const error = file.explain(found);
  assert.ok(error instanceof LabFileError);
  return brief(error.problems);
}

const WRONG: readonly (readonly [what: string, text: string, problem: string])[] = [
  ['an unknown key', 'kernel: "6.12"\npolcy: x',
    '2:1 polcy: no such key; expected one of kernel, policy, slots, xattrs, uevents, drivers, devices'],
  ['a wrong kernel', 'kernel: 5.4', '1:9 kernel: expected one of 6.12, 7.2, not 5.4'],
  ['a wrong policy', 'policy: maybe', '1:9 policy: expected one of'],
  ['a wrong type of value', 'slots: many', '1:8 slots: expected a whole number from 0 to 65536, not "many"'],
  ['a number that is too large', 'slots: 65537', '1:8 slots: expected a whole number from 0 to 65536, not 65537'],
  ['nothing behind a key', 'devices:\nxattrs: true', '1:9 devices: expected a list of devices, not nothing'],
  ['text instead of a mapping', 'just text',
    '1:1 : expected a mapping with some of kernel, policy, slots, xattrs, uevents, drivers, devices, not "just text"'],
  ['a list instead of a mapping', '- 1', '1:1 : expected a mapping with some of kernel, policy'],
  ['a list instead of a device', 'devices:\n  - [mtty-1]', '2:5 devices[0]: expected a mapping with some of type, uuid'],
  ['a list instead of attributes', 'devices:\n  - type: mtty-1\n    attributes: [x]',
    '3:18 devices[0].attributes[0]: expected the name of an attribute'],
  ['an unknown driver', 'drivers:\n  - name: nvidia', '2:11 drivers[0].name: expected'],
  ['a list of options', 'drivers:\n  - {name: mtty, options: [1]}', '2:28 drivers[0].options[0]: expected the name of an option'],
  ['a driver without a name', 'drivers:\n  - parents: 1', '2:5 drivers[0].name: expected this key, which is missing here'],
  ['no parents', 'drivers:\n  - {name: mtty, parents: 0}',
    '2:27 drivers[0].parents: expected a whole number from 1 to 1024, not 0'],
  ['features without stop-copy', 'drivers:\n  - {name: mtty, features: [p2p]}',
    '2:28 drivers[0].features: expected a list with stop-copy in it, not ["p2p"]'],
  ['an unknown feature', 'drivers:\n  - {name: mtty, features: [stop-copy, fly]}',
    '2:40 drivers[0].features[1]: expected one of stop-copy, p2p, pre-copy, not "fly"'],
  ['a device without a type', `devices:\n  - uuid: ${UUID}`, '2:5 devices[0].type: expected this key, which is missing here'],
  ['what is no UUID', 'devices:\n  - {type: mtty-1, uuid: 12}', '2:26 devices[0].uuid: expected a UUID, not 12'],
  ['an unknown protocol', 'devices:\n  - {type: i915-GVTg_V5_4, protocol: v3}',
    '2:38 devices[0].protocol: expected one of v2, v1, '],
  ['an unknown state', 'devices:\n  - type: mtty-1\n    faults: {delay: {STOPPED: 1}}',
    '3:22 devices[0].faults.delay.STOPPED: no such key; expected one of STOP, RUNNING'],
  ['an unknown error', 'devices:\n  - type: mtty-1\n    faults: {stream_fail: {byte: 1, errno: EFOO}}',
    '3:44 devices[0].faults.stream_fail.errno: expected the name of an error, as in EIO, not "EFOO"'],
  ['a wrong unit', 'devices:\n  - type: mtty-1\n    faults: {state_size: 10 KB}',
    '3:26 devices[0].faults.state_size: expected a size in bytes: a whole number up to 4294967296, or one with KiB, MiB or'],
  ['an attribute that is a mapping', 'devices:\n  - type: mtty-1\n    attributes: {a: {}}',
    '3:21 devices[0].attributes.a: expected text, a number, true, false, or a list of these, not a mapping'],
  ['a key that is there twice', 'policy: track\npolicy: track', '2:1 : expected YAML: Map keys must be unique'],
  ['a bracket that is missing', 'devices: [', '1:11 : expected YAML: Flow sequence'],
  ['an alias of nothing', 'devices: *x', '1:1 : expected YAML: Unresolved alias'],
];

describe('parseLabFile()', () => {
  for (const [what, text, problem] of WRONG) {
    it(`says where ${what} is and what was expected`, () => {
      const found = brief(problems(text));
      assert.equal(found.length, 1, found.join('\n'));
      assert.ok(found[0]?.startsWith(problem), `${found[0]}\nexpected ${problem}`);
    });
  }

  it('tells all errors at once, in the order of the file', () => {
    const text = 'devices:\n  - {type: mtty-1, uuid: x}\n  - {typ: mtty-1}\nslots: -1\n';
    const found = problems(text).map(({ line, path }) => `${line} ${path}`);
    assert.deepEqual(found, ['2 devices[0].uuid', '3 devices[1].type', '3 devices[1].typ', '4 slots']);
  });

  it('shows what an alias stands for', () => {
    const [first] = problems('drivers:\n  - &a {name: 3}\n  - *a\n');
    assert.deepEqual([first?.line, first?.column], [2, 15]);
  });

  it('names file, line and column in its message', () => {
    assert.throws(() => parseLabFile('dir/lab.yaml', 'slots: -1'),
      { name: 'LabFileError', message: /^dir\/lab\.yaml:1:8: slots: expected a whole number/ });
    assert.throws(() => parseLabFile('lab.yaml', 'slots: -1\nx: 1'),
      { message: /^lab\.yaml has 2 errors:\nlab\.yaml:1:8: .*\nlab\.yaml:2:1: / });
  });

  it('an empty file is a lab with defaults', () => {
    for (const text of ['', '# nothing\n', '{}']) {
      const { explain, ...settings } = parseLabFile('lab.yaml', text);
      assert.equal(typeof explain, 'function');
      assert.deepEqual(settings, { devices: [] });
    }
  });

  it('takes JSON, and 7.2 with or without quotes', () => {
    assert.equal(parseLabFile('lab.json', '{"kernel": "7.2", "slots": 3}').slots, 3);
    assert.equal(parseLabFile('lab.yaml', 'kernel: 7.2').kernel, '7.2');
  });

  it('makes what the machine takes', () => {
    const { explain, ...settings } = parseLabFile('lab.yaml', `
policy: enforce
drivers:
  - {name: mtty, parents: 2, features: [stop-copy, p2p], types: {mtty-1: {features: [stop-copy]}}}
devices:
  - type: mtty-2
    uuid: ${UUID.toUpperCase()}
    count: 3
    policy: track
    features: [stop-copy]
    faults:
      delay: {STOP_COPY: 5, RESUMING: 6}
      fail: {STOP: {errno: EIO}, RUNNING: {errno: EBUSY, times: 2, error: true}}
      stream_fail: {byte: 7, errno: ENOMEM}
      stream_cut: 8
      state_size: 64 MiB
      dirty_rate: 9
    attributes: {migration_block: true, vendor/x: [1, two]}
`);
    assert.equal(typeof explain, 'function');
    const device = {
      type: 'mtty-2', attributes: { migration_block: ['1\n'], 'vendor/x': ['1\n', 'two\n'] },
      knobs: {
        blocker: 'track', features: 'stop-copy', delay: 'RESUMING 6\nSTOP_COPY 5', fail: 'RUNNING EBUSY 2 ERROR\nSTOP EIO 1',
        stream_fail: '7 ENOMEM', stream_cut: '8', state_size: String(64 << 20), dirty_rate: '9',
      },
    };
    const inOrder = (text: string): string => text.split('\n').sort().join('\n');
    const sorted = settings.devices.map(({ knobs, ...rest }) => ({
      ...rest, knobs: Object.fromEntries(Object.entries(knobs ?? {}).map(([name, text]) => [name, inOrder(text)])),
    }));
    assert.deepEqual({ ...settings, devices: sorted }, {
      blocker: 'enforce',
      drivers: [{ name: 'mtty', parents: 2, features: 'stop-copy+p2p', types: { 'mtty-1': { features: 'stop-copy' } } }],
      devices: ['fe', 'ff', '100'].map((end) => ({ ...device, uuid: `${UUID.slice(0, end.length === 3 ? -3 : -2)}${end}` })),
    });
  });
});

const REFUSED: readonly (readonly [what: string, text: string, problem: string])[] = [
  ['a driver that is named twice', 'drivers:\n  - name: mtty\n  - name: mtty', '3:11 drivers[1].name: expected a driver that is not named before; driver mtty (EEXIST)'],
  ['an unknown type of a driver', 'drivers:\n  - name: mtty\n    types: {mtty-9: {features: [stop-copy]}}',
    '3:21 drivers[0].types.mtty-9: driver mtty has no type mtty-9: there are mtty-1, mtty-2'],
  ['an option that a driver does not have', 'drivers:\n  - name: mtty\n    options: {x: 1}',
    "3:14 drivers[0].options: driver mtty has no option 'x'"],
  ['an unknown type', 'devices:\n  - type: mtty-9', '2:5 devices[0]: no type mtty-9: there are mtty-1, mtty-2 (ENODEV)'],
  ['an unknown parent', 'devices:\n  - {type: mtty-1, parent: mtty7}', '2:5 devices[0]: no type mtty-1 on a parent mtty7'],
  ['a UUID that is there twice', `devices:\n  - {type: mtty-1, uuid: ${UUID}}\n  - {type: mtty-1, uuid: ${UUID}}`,
    '3:5 devices[1]: expected a UUID that no other device has'],
  ['more devices than fit, once', 'devices:\n  - {type: mtty-1, count: 99}',
    '2:5 devices[0]: expected something left of this type on the parent; mtty-1 on mtty (ENOSPC)'],
  ['an attribute that is none', 'devices:\n  - type: mtty-1\n    attributes: {vendor/x: 1}',
    '3:28 devices[0].attributes.vendor/x: expected something that the device has (ENOENT)'],
  ['a value that an attribute refuses', 'devices:\n  - type: mtty-1\n    attributes: {migration_block: maybe}',
    '3:35 devices[0].attributes.migration_block: expected a value that it takes (EINVAL)'],
  ['a read-only attribute', 'devices:\n  - type: mtty-1\n    attributes: {vendor/sample_mdev_dev: x}',
    '3:42 devices[0].attributes.vendor/sample_mdev_dev: expected something that can be written (EACCES)'],
  ['a path that leads out', 'devices:\n  - type: mtty-1\n    attributes: {../../x: 1}',
    '3:27 devices[0].attributes.../../x: expected something that the device has (ENOENT)'],
  ['a protocol of a device that has only one', 'devices:\n  - {type: mtty-1, protocol: v1}',
    '2:30 devices[0].protocol: only devices of driver gvt have it'],
  ['a size that is too large', 'devices:\n  - type: mtty-1\n    faults: {state_size: 5 GiB}',
    '3:26 devices[0].faults.state_size: expected a value that it takes (EINVAL)'],
];

describe('what only the machine knows', () => {
  for (const [what, text, problem] of REFUSED) {
    it(`is told with its place: ${what}`, async () => {
      const found = await refused(text);
      assert.equal(found.length, 1, found.join('\n'));
      assert.ok(found[0]?.startsWith(problem), `${found[0]}\nexpected ${problem}`);
    });
  }

  it('is told at once for all devices', async () => {
    assert.equal((await refused('devices:\n  - type: a\n  - {type: mtty-1, attributes: {x: 1, y: 2}}\n  - type: b')).length, 4);
  });

  it('about devices that are not the file\'s, it is the error itself', () => {
    const error = new Errno('ENOSPC');
    assert.equal(parseLabFile('lab.yaml', '').explain([{ path: ['devices', 0], error }]), error);
  });
});

describe('docs/lab-file.schema.json', () => {
  it('is what scripts/lab-file-schema.ts makes', () => {
    assert.equal(readFileSync(SCHEMA_FILE, 'utf8'), schemaText(), 'run: node --import tsx scripts/lab-file-schema.ts');
  });
});
