import { scenario } from './scenario.js';

scenario('6-destination', 'observe, notify', 'track, enforce, enforce+notify', [/track: .*RESUMING.*Device or resource busy; the migration completed/]);
