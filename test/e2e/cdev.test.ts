import { describe, it } from 'node:test';
import { whyNoQemu } from './requirements.js';
import { defineSuite } from './suite.js';

const missing = whyNoQemu();
if (missing === undefined) defineSuite('stock QEMU by cdev and iommufd', { via: 'cdev' });
else describe('stock QEMU by cdev and iommufd', () => void it('runs', { skip: missing }));
