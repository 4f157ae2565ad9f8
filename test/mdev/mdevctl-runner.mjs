/**
 * Runs commands one after the other and prints each result as a line of JSON. Started below `mdevsim run`, whose mount
 * namespace it has to itself: mdevctl's own configuration goes to a tmpfs there.
 *
 * argv: a file with a JSON array of argument vectors.
 */
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const [, , script] = process.argv;
mkdirSync('/etc/mdevctl.d', { recursive: true });
const mounted = spawnSync('mount', ['-t', 'tmpfs', 'none', '/etc/mdevctl.d'], { encoding: 'utf8' });
if (mounted.status !== 0) throw new Error(`cannot hide /etc/mdevctl.d: ${mounted.stderr}`);

/* mdevctl 1.2 refuses to run without them. */
for (const dir of ['callouts', 'notifiers']) mkdirSync(`/etc/mdevctl.d/scripts.d/${dir}`, { recursive: true });

/** Generated UUIDs: as recorded, and as they are now. */
const generated = new Map();
const current = (argument) => generated.get(argument) ?? argument;

for (const { argv, stdout: recorded, random, file } of JSON.parse(readFileSync(script, 'utf8'))) {
  if (file !== undefined) writeFileSync(file.path, file.content);
  const [command, ...rest] = argv.map(current);
  const { status, stdout, stderr } = spawnSync(command, rest, { encoding: 'utf8', timeout: 20_000 });
  if (random) generated.set(recorded.trim(), stdout.trim());
  let text = stdout;
  for (const [then, now] of generated) if (now !== '') text = text.replaceAll(now, then);
  process.stdout.write(`${JSON.stringify({ exit: status, stdout: text, stderr })}\n`);
}
