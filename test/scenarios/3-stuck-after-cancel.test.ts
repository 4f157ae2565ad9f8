import { scenario } from './scenario.js';

scenario('3-stuck-after-cancel', 'observe', 'track, notify, enforce, enforce+notify', [
  /observe: .*was cancelled, the device is RUNNING; echo 1: Device or resource busy; again: Device or resource busy/,
]);
