/** What shells answer. */
import assert from 'node:assert/strict';
import type { ShellResult } from './child.js';

export function assertBusy(result: ShellResult): void {
  assert.notEqual(result.status, 0, 'the write should have failed');
  assert.match(result.stderr, /Device or resource busy/);
}

export function assertDone(result: ShellResult): void {
  assert.deepEqual({ status: result.status, stderr: result.stderr }, { status: 0, stderr: '' });
}
