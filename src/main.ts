#!/usr/bin/env node
/** The program `mdevsim`: parses the command line, and turns whatever goes wrong into one sentence and an exit status. */
import { readFileSync } from 'node:fs';
import { CliError, describe, EXIT_FAILURE, EXIT_USAGE } from './cli/errors.js';
import { CommanderError, createProgram } from './cli/program.js';
import { writeStderr } from './trace/stdio.js';

/** From dist/src/main.js and from src/main.ts. */
function version(): string {
  for (const path of ['../../package.json', '../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')) as { version: string }).version;
    } catch { /* The other place. */ }
  }
  return 'unknown';
}

try {
  await createProgram(version()).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and --version leave with 0; what was wrong has been printed.
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    const message = error instanceof CliError ? error.message : describe(error);
    if (message !== '') writeStderr(`mdevsim: ${message}\n`);
    process.exitCode = error instanceof CliError ? error.exitCode : EXIT_FAILURE;
    if (process.env['MDEVSIM_DEBUG'] !== undefined) writeStderr(`${error instanceof Error ? error.stack : String(error)}\n`);
    // A lab that does not answer keeps a worker thread, and that would keep this process.
    if (process.argv[2] === 'mount') (await import('./sys/exec.js')).exitAtOnce(process.exitCode);
  }
}
