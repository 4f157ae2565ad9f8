import { compareScenarios } from './compare/compare.js';
import { TWO_DEVICES } from './compare/two-devices.js';

compareScenarios('two devices', TWO_DEVICES);
