/** What a VMM does once at its start, so that a migration does not do it for the first time. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { rehearseStream } from '../../src/client/migration/rehearsal.js';

const openFiles = (): string[] => readdirSync('/proc/self/fd').sort();

describe('the rehearsal of a migration stream', { timeout: 10_000 }, () => {
  it('comes to its end, and leaves no descriptor open', async () => {
    await rehearseStream();
    const before = openFiles();
    await rehearseStream();
    assert.deepEqual(openFiles(), before);
  });
});
