/** --config and list --as-config on real mounts. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { asRoot, isMounted, mdevsim, Server, shell } from './mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

const EVERYTHING = `# A lab file of mdevsim: 'mdevsim mount DIR --config FILE' makes this lab.
kernel: "7.2"
policy: enforce
xattrs: true
slots: 8
drivers:
  - name: mtty
    parents: 2
    features:
      - stop-copy
      - p2p
      - pre-copy
    types:
      mtty-1:
        features:
          - stop-copy
  - name: gvt
    parents: 1
    options:
      protocol: v1
devices:
  - type: mtty-2
    uuid: ${UUID}
    parent: mtty1
    policy: observe
    features:
      - stop-copy
      - p2p
    faults:
      delay:
        STOP_COPY: 100
        RESUMING: 20
      fail:
        RUNNING:
          errno: EBUSY
          times: 1
        STOP_COPY:
          errno: EIO
          times: 2
          error: true
      stream_fail:
        byte: 100
        errno: ENOMEM
      stream_cut: 5000
      state_size: 67108864
      dirty_rate: 1000
    attributes:
      migration_block: 1
  - type: mtty-1
    uuid: ${UUID.replace(/1$/, '2')}
    parent: mtty
  - type: i915-GVTg_V5_8
    uuid: ${UUID.replace(/1$/, '3')}
    parent: 0000:00:02.0
    protocol: v2
  - type: i915-GVTg_V5_8
    uuid: ${UUID.replace(/1$/, '4')}
    parent: 0000:00:02.0
`;

let scratch = '';
const file = (name: string, text: string): string => {
  const path = join(scratch, name);
  writeFileSync(path, text);
  return path;
};

describe('--config', asRoot, () => {
  before(() => { scratch = mkdtempSync(join(tmpdir(), 'mdevsim-config-')); });
  after(() => rmSync(scratch, { recursive: true }));

  it('mount makes what the file says, and list --as-config writes the same file', async () => {
    await using server = await Server.start(['--config', file('everything.yaml', EVERYTHING)]);
    const { status, stdout, stderr } = mdevsim(['list', '--as-config', '--lab', server.dir]);
    assert.deepEqual([stdout, stderr, status], [EVERYTHING, '', 0]);
    const shown = shell(`cd "$1/sys/bus/mdev/devices/${UUID}" && cat migration_block && readlink mdev_type
      cat "$1"/sys/kernel/debug/mdevsim/${UUID}/delay`, ['sh'], [server.dir]);
    assert.equal(shown.stdout, '1\n../mdev_supported_types/mtty-2\nSTOP_COPY 100\nRESUMING 20\n');
  });

  it('list --as-config shows what was changed since', async () => {
    await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
    shell(`cd "$1/sys/kernel/debug/mdevsim/${UUID}" && echo 5 > dirty_rate && echo stop-copy > features
      echo 1 > "$1/sys/bus/mdev/devices/${UUID}/migration_block"`, ['sh'], [server.dir]);
    const text = mdevsim(['list', '--as-config', '--lab', server.dir]).stdout;
    assert.match(text, /policy: track\ndrivers:\n {2}- name: mtty\n {4}parents: 1\ndevices:\n/);
    assert.match(text, /parent: mtty\n {4}features:\n {6}- stop-copy\n/);
    assert.match(text, /\n {4}faults:\n {6}dirty_rate: 5\n {4}attributes:\n {6}migration_block: 1\n$/);
    await using again = await Server.start(['--config', file('again.yaml', text)]);
    assert.equal(mdevsim(['list', '--as-config', '--lab', again.dir]).stdout, text);
  });

  it('list --as-config has a matrix with its guests, and the masks as they are by now', async () => {
    const config = file('matrix.yaml', `drivers:
  - name: vfio_ap
    options: { adapters: [{ id: 5, type: CEX7P }, 6, 7], domains: [4, 0xab], apmask: "-5,-6", series: v1 }
devices:
  - { type: vfio_ap-passthrough, uuid: ${UUID}, policy: observe, attributes: { assign_adapter: 5, assign_domain: 4, migratable: 1 } }
  - type: vfio_ap-passthrough
    uuid: ${UUID.replace(/1$/, '2')}
    attributes: { ap_config: "0x02,0x08,0", migration_block: 1 }
    faults: { delay: { STOP_COPY: 10 } }
`);
    await using server = await Server.start(['--config', config]);
    const listed = (lab: Server): string => mdevsim(['list', '--as-config', '--lab', lab.dir]).stdout;
    assert.match(listed(server), /apmask: -5,-6\n {6}series: v1\ndevices:/);
    const { status } = shell(`cd "$1/sys" && echo -7 > bus/ap/apmask && cd bus/mdev/devices/${UUID} && echo 7 > assign_adapter`, ['sh'], [server.dir]);
    assert.equal(status, 0);
    const text = listed(server);
    assert.match(text, /apmask: "0xf8f{62}"\n/);
    assert.match(text, /policy: observe\n[^]*ap_config: 0x050{62},[^]*migratable: 1\n[^]*delay:\n {8}STOP_COPY: 10\n[^]*migration_block: 1\n/);
    await using again = await Server.start(['--config', file('matrix-again.yaml', text)]);
    assert.equal(listed(again), text);
    const matrixOf = (lab: Server): string => shell(`cat "$1"/sys/bus/mdev/devices/*/matrix`, ['sh'], [lab.dir]).stdout;
    assert.equal(matrixOf(again), '05.0004\n07.0004\n06.0004\n');
    assert.equal(matrixOf(again), matrixOf(server));
  });

  it('the command line adds devices and overrules', async () => {
    const config = file('small.yaml', 'policy: track\ndevices:\n  - type: mtty-1\n');
    await using server = await Server.start(['--config', config, '--mdev', 'mtty-2', '--blocker', 'observe']);
    const text = mdevsim(['list', '--as-config', '--lab', server.dir]).stdout;
    assert.match(text, /^policy: observe$/m);
    assert.deepEqual([...text.matchAll(/type: (.*)/g)].map(([, type]) => type), ['mtty-1', 'mtty-2']);
  });

  it('run takes devices and the number of slots from the file', () => {
    const config = file('run.yaml', `slots: 3\ndevices:\n  - {type: mtty-1, uuid: ${UUID}}\n`);
    const script = `cat /sys/bus/mdev/devices/${UUID}/migration_block; ls /proc/$$/fd | grep -c '^5..$'`;
    assert.deepEqual(mdevsim(['run', '--config', config, '--', 'sh', '-c', script]).stdout, '0\n3\n');
    assert.deepEqual(mdevsim(['run', '--config', config, '--slots', '2', '--', 'sh', '-c', script]).stdout, '0\n2\n');
  });

  it('a wrong file changes nothing, and is told with lines', () => {
    const dir = mkdtempSync(join(tmpdir(), 'mdevsim-config-dir-'));
    try {
      const schema = file('schema.yaml', 'policy: none\nslots: -1\n');
      const devices = 'devices:\n  - type: mtty-1\n    attributes: {migration_block: maybe}\n  - type: gpu\n';
      const cases = [
        [schema, [':1:9: policy: expected', ':2:8: slots: expected']],
        [file('machine.yaml', devices), [':3:35: devices[0].attributes.migration_block: expected', ':4:5: devices[1]: no type']],
      ] as const;
      for (const [config, lines] of cases) {
        for (const command of [['mount', dir, '--config', config], ['run', '--config', config, '--', 'true']]) {
          const { status, stdout, stderr } = mdevsim(command);
          assert.deepEqual([status, stdout], [1, '']);
          const [head, ...rest] = stderr.trimEnd().split('\n');
          assert.equal(head, `mdevsim: ${config} has 2 errors:`);
          assert.ok(rest.length === 2 && rest.every((line, n) => line.startsWith(`${config}${lines[n]}`)), stderr);
        }
      }
      assert.equal(isMounted(dir), false);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('a missing file, a directory, and --driver or --lab beside it, are one sentence', () => {
    const config = file('empty.yaml', '');
    for (const [args, message, expected] of [
      [['mount', scratch, '--config', '/nonexistent/lab.yaml'],
        /^mdevsim: \/nonexistent\/lab\.yaml: no such file or directory\n$/, 1],
      [['mount', scratch, '--config', scratch], /: a lab file is needed, and this is a directory\n$/, 1],
      [['mount', scratch, '--config', config, '--driver', 'mtty'], /--driver cannot be combined with --config/, 2],
      [['run', '--config', config, '--lab', scratch, '--', 'true'], /--config is for a new lab/, 2],
      [['list', '--as-config', '--lab', scratch], /is not a mounted lab/, 1],
    ] as const) {
      const { status, stderr } = mdevsim(args);
      assert.match(stderr, message);
      assert.equal(status, expected);
    }
  });
});
