/**
 * A real mdevctl under `mdevsim run`, against what 1.4.0 printed on a real kernel (test/golden/mdevctl). What another version does
 * otherwise is in a table.
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
const RECORDED_PROGRAM = '/usr/bin/mdevctl';

/** `no-parent` is after unloading mtty, which a lab does not do; before `end` the probe removed devices without a record. */
const SECTIONS = [
  'types', 'empty', 'define', 'files', 'list', 'start', 'define-running', 'stop', 'modify', 'parent', 'json',
  'undefine', 'clean', 'exhaust',
];
const JSON_FILE = { path: '/tmp/j.json', content: '{"mdev_type":"mtty-1","start":"manual","attrs":[]}' };

interface VersionDifference {
  /** Of the recorded commands. */
  readonly section: string;
  readonly command: RegExp;
  readonly why: string;
  /** The command changes something, so that it is left out; otherwise its output is not compared. */
  readonly effect: boolean;
}

const DIFFERENCES: Readonly<Record<string, readonly VersionDifference[]>> = {
  '1.2.0': [
    { section: 'modify', command: /^modify .*-t /, why: '1.2 can change the type', effect: true },
    { section: 'modify', command: /^list -v$/, why: '1.2 shows the attributes of active devices too', effect: false },
  ],
};

const argvOf = (record: GoldenRecord): string[] => record['argv'] as string[];
const textOf = (record: GoldenRecord, field: string): string => record[field] as string;
const isRandom = (record: GoldenRecord): boolean =>
  /^[0-9a-f-]{36}\n$/.test(textOf(record, 'stdout')) && record.unstable?.includes('stdout') === true;

function differenceOf(record: GoldenRecord, version: string): VersionDifference | undefined {
  const command = argvOf(record).slice(1).join(' ');
  return DIFFERENCES[version]?.find((row) => row.section === record.sec && row.command.test(command));
}

/** Versions word their errors otherwise: only that of the recordings is held to them. */
const fieldsOf = (version: string): readonly string[] =>
  (version === '1.4.0' ? ['exit', 'stdout', 'stderr'] : ['exit', 'stdout']);

/** Generated UUIDs and a fresh file system give another order of lines; versions end their output differently. */
function normalized(text: string): string {
  return text.split('\n').filter((line) => line.trim() !== '').sort().join('\n');
}

/** The version of a program, or undefined where it does not run. */
export function versionOf(program: string): string | undefined {
  return /\d+\.\d+\.\d+/.exec(spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[0];
}

/** What each recorded command does here, in order. `program` is an mdevctl. */
function replay(program: string, records: readonly GoldenRecord[]): readonly Readonly<Record<string, unknown>>[] {
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-mdevctl-'));
  after(() => rmSync(dir, { recursive: true }));
  const script = join(dir, 'commands.json');
  writeFileSync(script, JSON.stringify(records.map((record) => ({
    argv: argvOf(record).map((word) => (word === RECORDED_PROGRAM ? program : word)), stdout: record['stdout'],
    random: isRandom(record), file: record.sec === 'json' ? JSON_FILE : undefined,
  }))));
  const [command = '', ...args] = [...MDEVSIM, 'run', '--', process.execPath, RUNNER, script];
  // Recorded without: with it mdevctl, a Rust program, prints a stack under each error.
  const env = { ...process.env, RUST_BACKTRACE: '0' };
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', timeout: 100_000, killSignal: 'SIGKILL', env });
  assert.equal(status, 0, stderr);
  return stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
}

export function defineRecordedSuite(program: string, version: string): void {
  describe('mdevctl in a lab', () => {
    it(`${version} does and says what 1.4.0 does and says on a real kernel`, () => {
      const records = loadGolden('mdevctl', { kernel: 'stock', sec: SECTIONS })
        .filter((record) => differenceOf(record, version)?.effect !== true);
      const results = replay(program, records);
      assert.equal(results.length, records.length);
      const differences: string[] = [];
      for (const [index, record] of records.entries()) {
        const found = results[index] ?? {};
        for (const field of differenceOf(record, version) === undefined ? fieldsOf(version) : ['exit']) {
          const [is, was] = [String(found[field]), String(record[field])];
          if (normalized(is) === normalized(was)) continue;
          differences.push(`${record.sec}: ${argvOf(record).join(' ')}: ${field} is ${JSON.stringify(is)}, was ${JSON.stringify(was)}`);
        }
      }
      assert.deepEqual(differences, []);
    });
  });
}
