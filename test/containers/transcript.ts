/** Console sessions in a document: blocks of ```console with `$ command` lines and what they print. */
import { readFileSync } from 'node:fs';

export interface Step {
  /** With the lines that belong to it: after a backslash, or inside quotes. */
  readonly command: string;
  readonly output: string;
}

export interface Block {
  /** The heading above it. */
  readonly title: string;
  readonly language: string;
  readonly text: string;
}

export function blocksOf(path: string): Block[] {
  const blocks: Block[] = [];
  let title = '';
  let open: { language: string; lines: string[] } | undefined;
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (open === undefined) {
      title = /^#+ (.*)/.exec(line)?.[1] ?? title;
      const language = /^```(\w*)$/.exec(line)?.[1];
      if (language !== undefined) open = { language, lines: [] };
    } else if (line === '```') {
      blocks.push({ title, language: open.language, text: open.lines.join('\n') });
      open = undefined;
    } else {
      open.lines.push(line);
    }
  }
  return blocks;
}

/** Whether a shell would ask for more. */
const unfinished = (command: string): boolean =>
  command.endsWith('\\') || (command.replaceAll(/'[^']*'/g, '').split('"').length % 2 === 0)
  || command.replaceAll(/"[^"]*"/g, '').split("'").length % 2 === 0;

export function stepsOf(text: string): Step[] {
  const steps: { command: string; output: string[] }[] = [];
  for (const line of text.split('\n')) {
    const last = steps.at(-1);
    if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [] });
    else if (last === undefined) throw new Error(`a line before the first command: ${line}`);
    else if (last.output.length === 0 && unfinished(last.command)) last.command += `\n${line}`;
    else last.output.push(line);
  }
  return steps.map(({ command, output }) => ({ command, output: output.join('\n') }));
}

/** The expected output as a pattern: a line `...` stands for any lines, `...` elsewhere for part of a line. */
export function patternOf(output: string): RegExp {
  const lines = output.split('\n').map((line) => {
    if (line === '...') return '(?:.*\\n)*';
    return `${line.split('...').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('.*')}\\n`;
  });
  return new RegExp(`^${output === '' ? '' : lines.join('')}$`);
}
