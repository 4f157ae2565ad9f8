/** What is wrong in a lab file: each with its place, and what was expected there. */

/** Keys and indexes from the file's root: `devices`, 3, `uuid`. */
export type ConfigPath = readonly (string | number)[];

export interface LabFileProblem {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** `devices[3].uuid`; empty for the whole file. */
  readonly path: string;
  /** `expected a UUID, not "x"` */
  readonly message: string;
}

export class LabFileError extends Error {
  override readonly name = 'LabFileError';

  readonly problems: readonly LabFileProblem[];

  /** `problems`: at least one. `file` as the user named it. */
  constructor(readonly file: string, problems: readonly LabFileProblem[]) {
    const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
    const lines = sorted.map(({ line, column, path, message }) =>
      `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`);
    super(lines.length === 1 ? lines[0] : `${file} has ${lines.length} errors:\n${lines.join('\n')}`);
    this.problems = sorted;
  }
}

export function pathText(path: ConfigPath): string {
  return path.map((key, index) => (typeof key === 'number' ? `[${key}]` : index === 0 ? key : `.${key}`)).join('');
}
