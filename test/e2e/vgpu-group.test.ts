import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { whyNoQemu } from './requirements.js';
import { VgpuLab } from './vgpu.js';
import { defineVgpuSuite, V2 } from './vgpu-suite.js';

const missing = whyNoQemu();
if (missing === undefined) defineVgpuSuite('stock QEMU and a vGPU by group and type1', { via: 'group', ...V2 });
else describe('stock QEMU and a vGPU by group and type1', () => void it('runs', { skip: missing }));

it('stock QEMU does not migrate a vGPU of an older generation', { skip: missing ?? false }, () =>
  VgpuLab.with({ via: 'group', protocol: 'v1' }, async (vgpus) => {
    const { source, target } = await vgpus.pair();
    await assert.rejects(source.vm.startMigration(target.vm), /VFIO migration is not supported in kernel/);
  }));
