import { scenario } from './scenario.js';

scenario('1-block-before-size', 'observe, track', 'notify, enforce, enforce+notify', [
  /track: .*accepted; blocker: refused with EBUSY; the migration completed/, /notify: .*Device or resource busy; blocker: none;/,
  /enforce: .*accepted; blocker: refused with EBUSY; the migration failed/,
]);
