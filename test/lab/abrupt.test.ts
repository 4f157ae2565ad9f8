/** Programs and worker threads that end without an unmount(). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { asRoot, isMounted, shell } from '../cli/mdevsim.js';

const INDEX = pathToFileURL(join(import.meta.dirname, '../../src/index.ts')).href;

/** A program that mounts a lab and then does `end`. */
const mounts = (dir: string, end: string): string => `(async () => {
  (await import('${import.meta.resolve('tsx/esm/api')}')).register();
  const { Lab } = await import('${INDEX}');
  await Lab.mount('${dir}');
  console.log('mounted');
  ${end};
})();`;
const inWorker = (code: string): string => `
  const worker = new (require('node:worker_threads').Worker)(${JSON.stringify(code)}, { eval: true });
  worker.on('error', (error) => console.log(error.message));
  worker.on('exit', (status) => setTimeout(() => console.log('ended', status), 100));
`;

const CASES: readonly [what: string, code: (dir: string) => string, status: number, stdout: string][] = [
  ['a program that exits', (dir) => mounts(dir, 'process.exit(3)'), 3, 'mounted\n'],
  ['a program that throws', (dir) => mounts(dir, "throw new Error('oops')"), 1, 'mounted\n'],
  ['a worker thread that exits', (dir) => inWorker(mounts(dir, 'process.exit(3)')), 0, 'mounted\nended 3\n'],
  ['a worker thread that throws', (dir) => inWorker(mounts(dir, "throw new Error('oops')")), 0, 'mounted\noops\nended 1\n'],
];

describe('a lab without unmount()', { timeout: 60_000, ...asRoot }, () => {
  for (const [what, code, status, stdout] of CASES) {
    it(`ends with ${what}, and nothing stays mounted`, () => {
      const dir = mkdtempSync(join(tmpdir(), 'mdevsim-abrupt-'));
      try {
        const result = spawnSync(process.execPath, ['--input-type=commonjs', '-e', code(dir)], { encoding: 'utf8', timeout: 30_000 });
        assert.deepEqual([result.status, result.signal, result.stdout, isMounted(dir)], [status, null, stdout, false], result.stderr);
      } finally {
        shell('umount -l "$1" 2>/dev/null', ['sh'], [dir]);
        rmdirSync(dir);
      }
    });
  }
});
