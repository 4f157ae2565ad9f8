/** A lab with PCI devices over a machine that has some of its own. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { asRoot, mdevsim } from './mdevsim.js';

const namesIn = (directory: string): readonly string[] => (existsSync(directory) ? readdirSync(directory) : []);

describe('run --driver gvt', asRoot, () => {
  it('shows the GPU, and everything that the machine has on its PCI bus', () => {
    const gpu = '0000:00:02.0';
    for (const directory of ['/sys/bus/pci/devices', '/sys/bus/pci/drivers', '/sys/devices/pci0000:00']) {
      const own = directory.endsWith('drivers') ? 'i915' : gpu;
      const expected = [...new Set([...namesIn(directory), own])];
      const { stdout, stderr } = mdevsim(['run', '--driver', 'gvt', '--', 'ls', directory]);
      assert.deepEqual(expected.filter((name) => !stdout.split('\n').includes(name)), [], `${directory}\n${stderr}`);
    }
    const script = `cat /sys/bus/pci/devices/${gpu}/device && readlink -f /sys/class/mdev_bus/${gpu}`;
    assert.equal(mdevsim(['run', '--driver', 'gvt', '--', 'sh', '-c', script]).stdout, `0x1912\n/sys/devices/pci0000:00/${gpu}\n`);
  });
});
