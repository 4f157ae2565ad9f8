import { scenario } from './scenario.js';

scenario('7-enable-migration', 'observe, track', 'notify, enforce, enforce+notify', [
  /track: .*blocker: refused with EBUSY; enable-migration is now off; the next migration completed/,
  /enforce: .*enable-migration is now off; the next migration failed/,
]);
