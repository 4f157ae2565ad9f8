/** Uevents on netlink: what programs hear that listen to the kernel, or to udevd. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MDEVSIM, mdevsim, shell } from '../cli/mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
const skip = process.getuid?.() !== 0 ? 'needs root' : has('python3') ? false : 'needs python3';

const MDEV = '/devices/virtual/mtty/mtty/UUID';
const CDEV = `${MDEV}/vfio-dev/vfio0 vfio-dev`;
/** Action, path, subsystem, and what else there is. */
const EVENTS = (dev: string): string[] => [
  `add ${MDEV} mdev`, `add /devices/virtual/vfio/0 vfio ${dev}vfio/0`, `add ${CDEV} ${dev}vfio/devices/vfio0`, `bind ${MDEV} mdev mtty`,
  `change ${MDEV} mdev 01234567-89ab-cdef-0123-456789abcdef b mtty`,
  `remove ${CDEV} ${dev}vfio/devices/vfio0`, `remove /devices/virtual/vfio/0 vfio ${dev}vfio/0`, `unbind ${MDEV} mdev`, `remove ${MDEV} mdev`,
];

function heard(options: readonly string[], command: readonly string[]): string[] {
  const { stdout, stderr, status } = mdevsim(['run', ...options, '--', ...command]);
  assert.deepEqual({ stderr, status }, { stderr: '', status: 0 });
  return stdout.trim().split('\n').filter((line) => line !== '');
}
const CLIENT = ['python3', join(import.meta.dirname, 'client-uevents.py'), UUID];
const from = (who: string, events: readonly string[]): string[] => events.map((event) => `${who} ${event}`);

describe('uevents', { skip }, () => {
  it('are not sent unless asked for', () => {
    const { stdout } = shell('"$@"', ['unshare', '-n', 'sh'], [...MDEVSIM, 'run', '--', ...CLIENT]);
    assert.equal(stdout, '');
  });

  it('come from the kernel, in its order and with its numbers', () => {
    assert.deepEqual(heard(['--uevents', 'kernel'], CLIENT), from('kernel', EVENTS('')));
  });

  it('come as from udevd too', () => {
    assert.deepEqual(heard(['--uevents', 'udev'], CLIENT), [...from('kernel', EVENTS('')), ...from('udev', EVENTS('/dev/'))]);
  });

  it('stay in a network namespace of their own, which has a loopback device', () => {
    const script = `readlink /proc/self/ns/net; python3 -c 'import socket; socket.create_server(("127.0.0.1", 0)); print("lo")'`;
    const [namespace, lo] = heard(['--uevents', 'kernel'], ['sh', '-c', script]);
    assert.notEqual(namespace, readlinkSync('/proc/self/ns/net'));
    assert.equal(lo, 'lo');
  });

  it('pass the filters of udev\'s own library', { skip: has('udevadm') ? false : 'needs udevadm' }, () => {
    const script = `
      ls /run/udev; said=$(mktemp); trap 'rm $said' EXIT
      udevadm monitor --udev --subsystem-match=mdev > $said & monitor=$!
      while ! grep -q ^UDEV $said; do sleep 0.02; done
      echo ${UUID} > /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create
      while ! grep -q bind $said; do sleep 0.02; done
      kill $monitor; sed -n 's/^UDEV *[[][0-9.]*] //p' $said`;
    const lines = heard(['--uevents', 'udev'], ['sh', '-c', script]).map((line) => line.replace(UUID, 'UUID').replace(/ +/g, ' '));
    assert.deepEqual(lines, ['control', `add ${MDEV} (mdev)`, `bind ${MDEV} (mdev)`]);
  });

  it('udev\'s own programs see the devices, and their properties', { skip: has('udevadm') ? false : 'needs udevadm' }, () => {
    const lines = heard(['--mdev', `mtty-1,uuid=${UUID}`], ['udevadm', 'info', '-q', 'property', '-p', `/sys/bus/mdev/devices/${UUID}`]);
    assert.deepEqual(lines.slice(0, 3).map((line) => line.replace(UUID, 'UUID')), [`DEVPATH=${MDEV}`, 'DRIVER=mtty', 'SUBSYSTEM=mdev']);
  });

  it('need the right to send them', () => {
    const { stderr, status } = shell('"$@"', ['setpriv', '--bounding-set', '-all', '--inh-caps', '-all', 'sh'],
      [...MDEVSIM, 'mount', '/nowhere', '--uevents', 'kernel']);
    assert.equal(status, 1);
    assert.match(stderr, /^mdevsim: the lab could not be made: sending uevents takes CAP_SYS_ADMIN in [^\n]*\n$/);
  });
});
