import { compareScenarios } from './compare/compare.js';
import { CANCEL } from './compare/cancel.js';

compareScenarios('cancelled', CANCEL);
