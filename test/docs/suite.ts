/** A document as tests: each of its console blocks, in order, and the story of its terminals. */
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asRoot } from '../cli/mdevsim.js';
import type { Document } from './document.js';
import { readDocument } from './document.js';
import { Scratch } from './scratch.js';

export const documentAt = (path: string): Document => readDocument(fileURLToPath(new URL(`../../${path}`, import.meta.url)));

/** Programs that the document's commands need, by name, with why this machine has them not, or false. */
export interface DocumentOptions {
  readonly skip?: string | false;
  readonly programs?: Readonly<Record<string, string>>;
}

export function defineDocument(path: string, { skip = false, programs = {} }: DocumentOptions = {}, document = documentAt(path)): void {
  const { files, consoles } = document;
  describe(path, skip === false ? asRoot : { skip }, () => {
    let scratch: Scratch;
    before(() => { scratch = new Scratch(files, programs); });
    after(() => scratch[Symbol.dispose]());
    for (const block of consoles.filter(({ terminal }) => terminal === undefined)) {
      it(`prints what it says: ${block.steps[0]?.command ?? ''}`, () => scratch.run(block));
    }
    const terminals = consoles.filter(({ terminal }) => terminal !== undefined);
    if (terminals.length > 0) {
      it(`prints what it says in ${terminals.map(({ terminal }) => terminal).join(', ')}`, () => scratch.play(terminals));
    }
  });
}
