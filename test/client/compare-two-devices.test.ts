import { compareScenarios } from './compare/compare.js';
import { MORE_OF_TWO_DEVICES, TWO_DEVICES } from './compare/two-devices.js';

const another = process.env['MDEVSIM_TEST_QEMU'] !== undefined;
compareScenarios('two devices', [...TWO_DEVICES, ...(another ? MORE_OF_TWO_DEVICES : [])]);
