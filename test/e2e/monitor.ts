/** Connects to the QMP socket of a VMM that has just been started. */
import { QmpClient } from '../../src/client/qmp/client.js';
import { until } from './deadline.js';

/** Seconds: an emulated machine on a busy one takes a while. */
const START = 30;

export interface Starting {
  /** Whether it may still make the socket. */
  readonly running: boolean;
  /** What it has said so far, for the message. */
  readonly output: string;
}

/** Tries until the socket is there. Rejects with what the VMM said when it has ended instead. */
export function connectMonitor(path: string, vmm: Starting): Promise<QmpClient> {
  return until(START, `the monitor at ${path}`, () => {
    if (!vmm.running) throw new Error(`the VMM ended before its monitor was there:\n${vmm.output}`);
    return QmpClient.connect(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') return undefined;
      throw error;
    });
  }, () => vmm.output);
}
