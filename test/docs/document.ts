/** Documents whose commands are run as written: `console` blocks with `$ command` or `# command` and its output, and files. */
import { readFileSync } from 'node:fs';

export interface Step {
  readonly command: string;
  /** Empty, or lines; a line `...` is any lines. */
  readonly output: string;
}

export interface ConsoleBlock {
  readonly steps: readonly Step[];
  /** ```console NAME: the terminals of one story, which are open at the same time. */
  readonly terminal: string | undefined;
}

export interface Document {
  /** By name. A block whose first line is a comment with a file name is that file. */
  readonly files: ReadonlyMap<string, string>;
  readonly consoles: readonly ConsoleBlock[];
  /** The languages of all blocks; '' for one without. */
  readonly languages: ReadonlySet<string>;
}

interface Block { readonly language: string; readonly name: string | undefined; readonly text: string }

function blocksOf(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\w*)(?: (\w+))?\n(.*?)^```$/gms)]
    .map(([, language = '', name, text = '']) => ({ language, name, text }));
}

/** A block's first line has its prompt, `$ ` or `# `. */
function stepsOf(text: string): Step[] {
  const prompt = text.slice(0, 2);
  const steps: { command: string; output: string }[] = [];
  for (const line of text.trimEnd().split('\n')) {
    const last = steps.at(-1);
    if ((prompt === '$ ' || prompt === '# ') && line.startsWith(prompt)) steps.push({ command: line.slice(2), output: '' });
    else if (last === undefined) throw new Error(`a console block begins without a prompt: ${line}`);
    else last.output += `${line}\n`;
  }
  return steps;
}

export function readDocument(path: string): Document {
  const blocks = blocksOf(readFileSync(path, 'utf8'));
  const files = blocks.filter(({ language }) => language !== 'console').flatMap(({ text }) => {
    const name = /^(?:#|\/\/|<!--) ([\w-]+\.\w+)(?: -->)?\n/.exec(text)?.[1];
    return name === undefined ? [] : [[name, text] as const];
  });
  const consoles = blocks.filter(({ language }) => language === 'console')
    .map(({ text, name }) => ({ steps: stepsOf(text), terminal: name }));
  return { files: new Map(files), consoles, languages: new Set(blocks.map(({ language }) => language)) };
}
