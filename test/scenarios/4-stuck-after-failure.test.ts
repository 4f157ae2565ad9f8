import { scenario } from './scenario.js';

scenario('4-stuck-after-failure', 'observe', 'track, notify, enforce, enforce+notify', [
  /observe: .*the migration failed, the device is RUNNING; echo 1: Device or resource busy; again: Device or resource busy/,
]);
