/**
 * readLabFile(): a lab from a file.
 *
 *   const lab = await Lab.mount('/tmp/lab', readLabFile('lab.yaml'));
 *
 * Everything that is wrong is told at once, with line and column: what the schema can know when the file is read; what only
 * the machine knows (no such type, nothing left of it, an attribute that refuses its value) by Lab.mount(), before anything is
 * mounted.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { safeParse } from 'valibot';
import { isErrno } from '../../abi/errno.js';
import type { SetupPath, SetupProblem } from '../setup.js';
import { problemOf } from './describe.js';
import { LabFileError } from './problem.js';
import type { LabFileProblem } from './problem.js';
import { LAB_FILE } from './schema.js';
import { LabFileSource } from './source.js';
import type { LabFileSettings } from './to-options.js';
import { toSettings } from './to-options.js';

export interface LabFile extends LabFileSettings {
  /** Makes a LabFileError of what the machine refused. More devices than the file's may come after them; theirs comes last. */
  readonly explain: (problems: readonly SetupProblem[]) => Error;
}

/** Throws LabFileError, or Node's error when the file cannot be read. */
export function readLabFile(file: string): LabFile {
  return parseLabFile(file, readFileSync(file, 'utf8'));
}

/** `file` is for messages. Throws LabFileError. */
export function parseLabFile(file: string, text: string): LabFile {
  const source = new LabFileSource(file, text);
  // An empty file is a lab with defaults.
  const { success, issues, output } = safeParse(LAB_FILE, source.content ?? {});
  if (!success) throw new LabFileError(file, unique(issues.map((issue) => problemOf(issue, source))));
  const { settings, locate } = toSettings(output, dirname(file));
  return {
    ...settings,
    explain: (problems) => {
      const own = problems.filter(({ path: [kind, index] }) => kind === 'drivers' || index < settings.devices.length);
      if (own.length === 0 && problems[0]?.error instanceof Error) return problems[0].error;
      // One entry of the file may stand for a hundred devices.
      const found = own.map(({ path, error }) => source.problem(locate(path), reason(error, path)));
      return new LabFileError(file, unique(found));
    },
  };
}

/** The first one of each place. */
function unique(problems: readonly LabFileProblem[]): LabFileProblem[] {
  const places = new Set<string>();
  return problems.filter(({ path }) => !places.has(path) && places.add(path));
}

const EXPECTED: Readonly<Record<string, string>> = {
  EEXIST: 'expected a UUID that no other device has',
  ENOSPC: 'expected something left of this type on the parent',
  ENOENT: 'expected something that the device has',
  EISDIR: 'expected an attribute, not a directory',
  EACCES: 'expected something that can be written',
  EINVAL: 'expected a value that it takes',
};

const EXPECTED_OF_DRIVERS: Readonly<Record<string, string>> = { EEXIST: 'expected a driver that is not named before' };

/** What only some drivers' devices have, for which the file has a word of its own. */
const MISSING: Readonly<Record<string, string>> = { protocol: 'only devices of driver gvt have it' };

/** What was expected, and the error as a shell would have got it. */
function reason(error: unknown, [kind, , part, name = '']: SetupPath): string {
  if (!isErrno(error)) return error instanceof Error ? error.message : String(error);
  const missing = part === 'knobs' && error.code === 'ENOENT' ? MISSING[name] : undefined;
  const expected = missing ?? (kind === 'drivers' ? EXPECTED_OF_DRIVERS : EXPECTED)[error.code];
  const parts = [expected, error.detail].filter((part) => part !== undefined);
  return parts.length === 0 ? `refused with ${error.code}` : `${parts.join('; ')} (${error.code})`;
}
