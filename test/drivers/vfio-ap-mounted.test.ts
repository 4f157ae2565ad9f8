/** vfio_ap as a shell on another machine's prompt would use it: a mounted lab, echo and cat. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Lab } from '../../src/index.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const why = process.getuid?.() !== 0 ? 'needs root' : !existsSync('/dev/fuse') ? 'needs /dev/fuse' : false;

/** A real shell with $L as the lab's directory; its output and its errors. */
function shell(script: string, lab: string): Promise<string> {
  return new Promise((resolve) => {
    const options = { timeout: 20_000, killSignal: 'SIGKILL', env: { ...process.env, L: lab, LC_ALL: 'C' } } as const;
    execFile('bash', ['--norc', '-c', `cd "$L/sys"; exec 2>&1; ${script}`, 'sh'], options, (_error, stdout) => resolve(stdout));
  });
}

const SESSION: readonly (readonly [command: string, output: string | RegExp])[] = [
  ['ls devices/ap bus/matrix/devices', 'bus/matrix/devices:\nmatrix\n\ndevices/ap:\ncard04\ncard05\ncard06\npower\nuevent\n'],
  ['readlink bus/ap/devices/05.00ab', '../../../devices/ap/card05/05.00ab\n'],
  ['echo -5,-6 > bus/ap/apmask; echo -4,-0x47,-0xab,-0xff > bus/ap/aqmask; cat bus/ap/apmask', `0xf9${'f'.repeat(62)}\n`],
  ['ls bus/ap/drivers/vfio_ap | grep -c ^0', '12\n'],
  [`echo ${UUID} > devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create; ls -d devices/vfio_ap/matrix/8*`,
    `devices/vfio_ap/matrix/${UUID}\n`],
  ['cat devices/vfio_ap/matrix/features', 'guest_matrix hotplug ap_config migratable\n'],
  ['cd bus/mdev/devices/8*; for a in 5 6; do echo $a > assign_adapter; done; ' +
    'for d in 4 0xab; do echo $d > assign_domain; done; cat matrix',
    '05.0004\n05.00ab\n06.0004\n06.00ab\n'],
  ['cd bus/mdev/devices/8*; echo 0x100 > assign_adapter', /write error: No such device\n$/],
  ['echo +5 > bus/ap/apmask; echo +4 > bus/ap/aqmask', /write error: Device or resource busy\n$/],
  ['cat devices/ap/card05/05.0004/status', 'assigned\n'],
  ['cd bus/mdev/devices/8*; cat migratable; echo 1 > migratable; cat migratable; echo 2 > migratable',
    /^0\n1\n.*write error: Invalid argument\n$/],
  ['cd bus/mdev/devices/8*; old=$(cat ap_config); echo 0,0,0 > ap_config; cat matrix; echo $old > ap_config; ' +
    'head -1 guest_matrix', '05.0004\n'],
  ['echo 1 > bus/mdev/devices/8*/remove', ''],
  ['ls bus/mdev/devices', ''],
];

test('a session on a mounted lab', { skip: why }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-ap-'));
  try {
    await using lab = await Lab.mount(dir, { drivers: [{ name: 'vfio_ap', options: { series: 'v1' } }] });
    for (const [command, output] of SESSION) {
      const printed = await shell(command, lab.dir);
      if (typeof output === 'string') assert.equal(printed, output, command);
      else assert.match(printed, output, command);
    }
    assert.deepEqual(lab.parents, ['matrix']);
  } finally {
    rmdirSync(dir);
  }
});
