/** A $TMPDIR of its own, to see what is left there. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Names of what `body` has left there. */
export async function leftBy(body: () => Promise<void>): Promise<string[]> {
  const [before, own] = [process.env['TMPDIR'], mkdtempSync(join(tmpdir(), 'mdevsim-test-'))];
  process.env['TMPDIR'] = own;
  try {
    await body();
    return readdirSync(own);
  } finally {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    rmSync(own, { recursive: true });
  }
}
