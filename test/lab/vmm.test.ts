/** The library's Vmm, as its user has it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Bench, quickly } from '../client/pair.js';

describe('Vmm', { timeout: 60_000 }, () => {
  it('tells of the migration that was begun last, and of the break that holds it', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair(['--break', 'connect']);
    await quickly(source);
    const nowhere = `unix:${bench.scratch}/nowhere`;
    for (const uri of [nowhere, nowhere, target.uri]) {
      await source.qmp.execute('migrate', { uri });
      await source.held('connect');
      // Asked again it is held still.
      await source.held('connect');
      await source.qmp.execute('x-mdevsim-continue', {});
      if (uri === nowhere) await assert.rejects(source.migrated(), /^Error: the migration failed: Failed to connect to/);
      else assert.equal((await source.migrated()).status, 'completed');
    }
    assert.equal((await source.migrated()).status, 'completed', 'asked again');
    await target.qmp.status(['completed']);

    // What it was the target of is none of those that it begins.
    await target.qmp.execute('migrate', { uri: nowhere });
    await assert.rejects(target.migrated(), /^Error: the migration failed/);
  }));
});
