import { describe, it } from 'node:test';
import { whyNoQemu } from './requirements.js';
import { defineVgpuSuite, V2 } from './vgpu-suite.js';

const missing = whyNoQemu();
if (missing === undefined) defineVgpuSuite('stock QEMU and a vGPU by group and type1', { via: 'group', ...V2 });
else describe('stock QEMU and a vGPU by group and type1', () => void it('runs', { skip: missing }));
