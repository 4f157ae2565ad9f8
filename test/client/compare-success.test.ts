import { compareScenarios } from './compare/compare.js';
import { SUCCESS } from './compare/success.js';

compareScenarios('success', SUCCESS);
