import { scenario } from './scenario.js';

scenario('2-eventfd-behind-migrate', 'observe, track, notify', 'enforce, enforce+notify', [
  /notify: .*accepted; blocker: refused with EBUSY; the migration completed/, /enforce: .*accepted; .*; the migration failed/,
  /enforce\+notify: .*accepted; blocker: added; the migration was refused at once/,
]);
