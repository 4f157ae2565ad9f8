/** `mdevsim list --as-config`: a running lab as a lab file. */
import { labFileOf } from '../lab/config/from-tree.js';
import { writeLabFile } from '../lab/config/write.js';
import { writeStdout } from '../trace/stdio.js';
import { attempt, CliError } from './errors.js';
import { chooseLabs } from './labs.js';

export function listAsConfig(options: { readonly lab?: string }): void {
  const [lab, another] = chooseLabs(options.lab);
  if (lab === undefined) throw new CliError('no labs are mounted here');
  if (another !== undefined) throw new CliError(`there is more than one lab: name it, as in --lab ${lab}`);
  writeStdout(writeLabFile(attempt(lab, () => labFileOf(lab))));
}
