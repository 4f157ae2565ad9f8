import { compareScenarios } from './compare/compare.js';
import { FAILURE } from './compare/failure.js';

compareScenarios('failures', FAILURE);
