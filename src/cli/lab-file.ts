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
    if (isLabFileError(error)) throw new CliError(error.message);
    // Node does not say of which path it is.
    const isDirectory = (error as NodeJS.ErrnoException).code === 'EISDIR';
    throw new CliError(isDirectory ? `${path}: a lab file is needed, and this is a directory` : describe(error));
  }
}

/** Without importing the class. */
export function isLabFileError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'LabFileError';
}
