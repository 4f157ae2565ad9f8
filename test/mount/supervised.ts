/** Becomes a program that the server of a mount supervises, as `mdevsim run` does: supervised.ts DIR PROGRAM [ARGS...] */
import { passOn, stdioFlags } from '../../src/cli/run/inherit.js';
import { letServerOpen } from '../../src/cli/run/listener.js';
import { exec } from '../../src/sys/exec.js';

const [dir = '', program = '', ...args] = process.argv.slice(2);
if (!letServerOpen(dir)) throw new Error('not possible here');
passOn([], stdioFlags());
exec(program, [program, ...args], process.env);
