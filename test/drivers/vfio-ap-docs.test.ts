/** docs/vfio-ap.md: its commands are run as written, in order, and print what it says. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asRoot } from '../cli/mdevsim.js';
import { readDocument, Scratch } from '../cli/console.js';

const { files, consoles } = readDocument(fileURLToPath(new URL('../../docs/vfio-ap.md', import.meta.url)));

describe('docs/vfio-ap.md', asRoot, () => {
  let scratch: Scratch;
  before(() => { scratch = new Scratch(files); });
  after(() => scratch[Symbol.dispose]());

  it('has its sessions', () => assert.deepEqual([[...files.keys()], consoles.length], [['matrix.yaml'], 3]));

  for (const block of consoles) {
    it(`prints what it says: ${block.commands.split('\n')[0]}`, () => scratch.run(block));
  }
});
