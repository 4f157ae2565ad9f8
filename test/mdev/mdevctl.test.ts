/**
 * The real mdevctl under `mdevsim run`, against what it printed on a real kernel (test/golden/mdevctl, version 1.4.0). Another
 * version words some messages otherwise: for it the exit codes and what it prints on stdout are compared.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { MDEVSIM } from '../cli/mdevsim.js';
import type { GoldenRecord } from '../golden/load.js';
import { loadGolden } from '../golden/load.js';

const RUNNER = join(import.meta.dirname, 'mdevctl-runner.mjs');
const RECORDED_VERSION = '1.4.0';
const version = /\d+\.\d+\.\d+/.exec(spawnSync('mdevctl', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[0];
const skip = process.getuid?.() !== 0 ? 'needs root' : version === undefined ? 'needs mdevctl' : false;

/** `no-parent` is after unloading mtty, which a lab does not do; before `end` the probe removed devices without a record. */
const SECTIONS = [
  'types', 'empty', 'define', 'files', 'list', 'start', 'define-running', 'stop', 'modify', 'parent', 'json',
  'undefine', 'clean', 'exhaust',
];
const JSON_FILE = { path: '/tmp/j.json', content: '{"mdev_type":"mtty-1","start":"manual","attrs":[]}' };

const argvOf = (record: GoldenRecord): string[] => record['argv'] as string[];
const textOf = (record: GoldenRecord, field: string): string => record[field] as string;
const isRandom = (record: GoldenRecord): boolean =>
  /^[0-9a-f-]{36}\n$/.test(textOf(record, 'stdout')) && record.unstable?.includes('stdout') === true;

/** Commands that another version takes otherwise, with their effect on later ones. */
function differsByVersion(record: GoldenRecord): boolean {
  const command = argvOf(record).slice(1).join(' ');
  // 1.2 can change the type, and shows attributes in `list -v`; 1.4 does neither.
  return version !== RECORDED_VERSION && (/^modify .*-t /.test(command) || (record.sec === 'modify' && command === 'list -v'));
}

const FIELDS: readonly string[] = version === RECORDED_VERSION ? ['exit', 'stdout', 'stderr'] : ['exit', 'stdout'];

/** Generated UUIDs and a fresh file system give another order of lines; versions end their output differently. */
function normalized(text: string): string {
  return text.split('\n').filter((line) => line.trim() !== '').sort().join('\n');
}

describe('mdevctl in a lab', { skip }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-mdevctl-'));
  after(() => rmSync(dir, { recursive: true }));

  it(`${version ?? ''} does and says what it does and says on a real kernel`, () => {
    const records = loadGolden('mdevctl', { kernel: 'stock', sec: SECTIONS }).filter((record) => !differsByVersion(record));
    const script = join(dir, 'commands.json');
    writeFileSync(script, JSON.stringify(records.map((record) => ({
      argv: argvOf(record), stdout: record['stdout'], random: isRandom(record),
      file: record.sec === 'json' ? JSON_FILE : undefined,
    }))));
    const [program = '', ...args] = [...MDEVSIM, 'run', '--', process.execPath, RUNNER, script];
    // Recorded without: with it mdevctl, a Rust program, prints a stack under each error.
    const env = { ...process.env, RUST_BACKTRACE: '0' };
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 100_000, killSignal: 'SIGKILL', env });
    assert.equal(status, 0, stderr);
    const results = stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(results.length, records.length);
    const differences: string[] = [];
    for (const [index, record] of records.entries()) {
      const found = results[index] ?? {};
      for (const field of FIELDS) {
        const [is, was] = [String(found[field]), String(record[field])];
        if (normalized(is) !== normalized(was)) {
          const command = `${record.sec}: ${argvOf(record).join(' ')}`;
          differences.push(`${command}: ${field} is ${JSON.stringify(is)}, was ${JSON.stringify(was)}`);
        }
      }
    }
    assert.deepEqual(differences, []);
  });
});
