import { scenario } from './scenario.js';

scenario('8-rfc-order', 'ram-first', 'device-first', [
  /device-first: .*STOP_COPY when its turn comes; the migration completed; of 16 pages that it wrote last, 0 are lost/,
  /ram-first: .*RUNNING when its turn comes; the migration completed; of 16 pages that it wrote last, 16 are lost/,
]);
