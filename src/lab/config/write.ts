/** A lab file's text. */
import { stringify } from 'yaml';
import type { LabFileData } from './from-tree.js';

const HEAD = "# A lab file of mdevsim: 'mdevsim mount DIR --config FILE' makes this lab.\n";

export function writeLabFile(data: LabFileData): string {
  return HEAD + stringify(data, { lineWidth: 0 });
}
