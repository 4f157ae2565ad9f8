/** `--config`: the lab file, with its errors as the operator reads them. */
import type { LabFile } from '../lab/config/load.js';
import { CliError, describe } from './errors.js';

/** Undefined without a file. Imported only when there is one: the schema library costs starting time. Throws CliError. */
export async function labFile(path: string | undefined): Promise<LabFile | undefined> {
  if (path === undefined) return undefined;
  const { readLabFile } = await import('../lab/config/load.js');
  try {
    return readLabFile(path);
  } catch (error) {
    throw new CliError(isLabFileError(error) ? error.message : describe(error));
  }
}

/** Without importing the class. */
export function isLabFileError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'LabFileError';
}
