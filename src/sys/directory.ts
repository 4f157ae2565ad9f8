/** Directories that were made for something, when that is over. */
import { rmdirSync } from 'node:fs';

/** Removes it if it is empty. Never throws: what somebody has put there is his, and gone is gone. */
export function removeEmptyDirectory(dir: string): void {
  try { rmdirSync(dir); } catch { /* As said. */ }
}
