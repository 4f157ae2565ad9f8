/** The text of a lab file: YAML 1.2 (so JSON too), with the place of everything in it. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node, Pair } from 'yaml';
import { LabFileError, pathText } from './problem.js';
import type { ConfigPath, LabFileProblem } from './problem.js';

export class LabFileSource {
  readonly file: string;
  /** What the file says. */
  readonly content: unknown;
  readonly #document: Document;
  readonly #lines = new LineCounter();

  /** `file` is for messages. Throws LabFileError when `text` is no YAML. */
  constructor(file: string, text: string) {
    this.file = file;
    this.#document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    const errors = [...this.#document.errors, ...this.#document.warnings];
    if (errors.length > 0) {
      const first = (message: string): string => message.split('\n')[0] ?? '';
      throw new LabFileError(file, errors.map(({ pos, message }) => this.#at(pos[0], '', `expected YAML: ${first(message)}`)));
    }
    try {
      this.content = this.#document.toJS();
    } catch (error) {
      throw new LabFileError(file, [this.#at(0, '', `expected YAML: ${error instanceof Error ? error.message : String(error)}`)]);
    }
  }

  /** A problem with the value at `path`; where there is none, with what it would be in. `ofKey`: with the key itself. */
  problem(path: ConfigPath, message: string, ofKey = false): LabFileProblem {
    let node = this.#resolve(this.#document.contents);
    let offset = node?.range?.[0] ?? 0;
    for (const [depth, key] of path.entries()) {
      const last = depth === path.length - 1;
      const next = childOf(node, key, last && ofKey);
      const range = next?.range;
      if (range === undefined || range === null) break;
      offset = range[0];
      node = this.#resolve(next ?? null);
    }
    return this.#at(offset, pathText(path), message);
  }

  #at(offset: number, path: string, message: string): LabFileProblem {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1), path, message };
  }

  #resolve(node: Node | null): Node | null {
    return isAlias(node) ? node.resolve(this.#document) ?? null : node;
  }
}

/** The node at `key`; of a mapping the key's own where `ofKey` says so or nothing is behind it. */
function childOf(node: Node | null, key: string | number, ofKey: boolean): Node | undefined {
  if (isSeq(node)) return node.items[Number(key)] as Node | undefined;
  const pair = isMap(node) ? node.items.find((item) => keyOf(item) === String(key)) : undefined;
  return ((ofKey ? undefined : pair?.value) ?? pair?.key) as Node | undefined;
}

function keyOf(pair: Pair): string | undefined {
  return isScalar(pair.key) ? String(pair.key.value) : undefined;
}
