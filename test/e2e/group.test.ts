import { describe, it } from 'node:test';
import { whyNoQemu } from './requirements.js';
import { defineSuite } from './suite.js';

const missing = whyNoQemu();
if (missing === undefined) defineSuite('stock QEMU by group and type1', { via: 'group' });
else describe('stock QEMU by group and type1', () => void it('runs', { skip: missing }));
