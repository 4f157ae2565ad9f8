/** docs/lab-file.md: its commands are run as written, in order, and print what it says. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asRoot } from '../cli/mdevsim.js';
import { readDocument, Scratch } from '../cli/console.js';

const { files, consoles } = readDocument(fileURLToPath(new URL('../../docs/lab-file.md', import.meta.url)));

describe('docs/lab-file.md', asRoot, () => {
  let scratch: Scratch;
  before(() => { scratch = new Scratch(files); });
  after(() => scratch[Symbol.dispose]());

  it('has its examples', () => {
    assert.deepEqual([...files.keys()], ['serial-card.yaml', 'two-cards.yaml', 'matrix.yaml', 'hundred.yaml', 'wrong.yaml']);
    assert.equal(consoles.length, 6);
  });

  for (const block of consoles) {
    it(`prints what it says: ${block.commands.split('\n')[0]}`, () => scratch.run(block));
  }
});
