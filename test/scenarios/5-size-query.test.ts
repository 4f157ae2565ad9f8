import { scenario } from './scenario.js';

scenario('5-size-query', 'observe', 'track, notify, enforce, enforce+notify', [/observe: .*96 bytes.*Device or resource busy/]);
