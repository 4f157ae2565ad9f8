import { compareScenarios } from './compare/compare.js';
import { WITHOUT_MIGRATION } from './compare/run.js';

compareScenarios('without a migration', WITHOUT_MIGRATION);
