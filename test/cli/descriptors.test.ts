/** How programs below `mdevsim run` get VFIO devices. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MDEVSIM, mdevsim } from './mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const skip = process.getuid?.() !== 0 ? 'needs root' : spawnSync('python3', ['--version']).status === 0 ? false : 'needs python3';
const CLIENT = ['python3', join(import.meta.dirname, 'client-device.py'), UUID];
const MDEV = ['--mdev', `mtty-2,uuid=${UUID}`];

describe('devices in programs', { skip }, () => {
  it('are opened at the lowest number, as by a driver', () => {
    const { stdout, stderr } = mdevsim(['run', ...MDEV, '--', ...CLIENT]);
    assert.deepEqual({ stdout, stderr }, { stdout: 'device at 5 with 6 interrupts\n', stderr: '' });
  });

  it('are opened where everything inherited was closed', () => {
    const { stdout, stderr } = mdevsim(['run', ...MDEV, '--', ...CLIENT, 'child']);
    assert.deepEqual({ stdout, stderr }, { stdout: 'device at 5 with 6 interrupts\n', stderr: '' });
  });

  it('with --slots are at the numbers that were opened beforehand, and only there', () => {
    const run = ['run', ...MDEV, '--slots', '2', '--'];
    assert.equal(mdevsim([...run, ...CLIENT]).stdout, 'device at 512 with 6 interrupts\n');
    const { stdout, stderr } = mdevsim([...run, ...CLIENT, 'child']);
    assert.equal(stdout, '');
    assert.match(stderr, /warning:.* free slot.*--slots[^]*Too many open files/);
  });

  it('of a lab below another one come through slots: a program has one listener', () => {
    const inner = [...MDEVSIM, 'run', ...MDEV, '--', ...CLIENT];
    const { stdout, stderr } = mdevsim(['run', '--', ...inner]);
    assert.deepEqual({ stdout, stderr }, { stdout: 'device at 512 with 6 interrupts\n', stderr: '' });
  });
});
