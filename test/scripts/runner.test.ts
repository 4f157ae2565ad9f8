import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { choose, plan } from '../../scripts/lib/plan.js';
import { readResults } from '../../scripts/lib/results.js';

const RUNNER = join(import.meta.dirname, '../../scripts/lib/run-tests.ts');

/** Runs the runner on made-up test files; `files` maps names below test/ to their text. */
function runOn(files: Readonly<Record<string, string>>, ...args: string[]): { status: number | null; lines: string[] } {
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-runner-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      const path = join(dir, 'test', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text.replaceAll('DIR', dir));
    }
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', RUNNER, '--root', dir, ...args], {
      encoding: 'utf8', timeout: 90_000, killSignal: 'SIGKILL', env: { ...process.env, TMPDIR: dir },
    });
    return { status, lines: (stdout + stderr).trimEnd().split('\n') };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const GOOD = "import test from 'node:test'; test('fine', () => {}); test('not here', { skip: 'no such thing' }, () => {});";
const BAD = "import test from 'node:test'; test('fine', () => {}); test('broken', () => { throw new Error('as expected'); });";

/** A test that never ends, with a busy child that ignores every signal it can. */
const HANGS = `
  import test from 'node:test';
  import { spawn } from 'node:child_process';
  test('comes first', () => {});
  test('never ends', async () => {
    spawn('bash', ['-c', 'trap "" TERM INT HUP; while :; do sleep 1; done'], { detached: true, stdio: 'ignore' });
    await new Promise(() => setInterval(() => {}, 1000));
  });`;

/**
 * Serves a FUSE mount badly: reads every request, answers none, and then waits for its own mount. No signal ends such a
 * process; only aborting the connection does.
 */
const HANGS_IN_FUSE = `
  import test from 'node:test';
  import { execFileSync } from 'node:child_process';
  test('stat waits for itself', () => {
    execFileSync('bash', ['-c', \`
      mkdir -p DIR/mnt; exec 5<>/dev/fuse
      mount -i -t fuse -o fd=5,rootmode=40000,user_id=0,group_id=0 mdevsim DIR/mnt || exit 1
      (while dd bs=1M count=1 of=/dev/null <&5 2>/dev/null; do :; done) &
      trap '' TERM INT HUP
      stat DIR/mnt/nothing\`], { stdio: 'ignore' });
  });`;

describe('the test runner', () => {
  it('counts tests, shows failures, and ends with the counts', () => {
    const { status, lines } = runOn({ 'a.test.ts': GOOD, 'b.test.ts': BAD });
    assert.equal(lines.at(-1), '2 passed, 1 failed, 1 skipped');
    assert.equal(status, 1);
    assert.ok(lines.includes('failed: test/b.test.ts: broken'), lines.join('\n'));
    assert.ok(lines.some((line) => line.includes('as expected')));
    assert.ok(lines.includes('      skipped: not here: no such thing'));
  });

  it('exits with 0 when everything passed', () => {
    const { status, lines } = runOn({ 'a.test.ts': GOOD });
    assert.equal(lines.at(-1), '1 passed, 0 failed, 1 skipped');
    assert.equal(status, 0);
  });

  it('kills a file that hangs with all it started, names it, and goes on', () => {
    const { status, lines } = runOn({ 'a.test.ts': HANGS, 'b.test.ts': GOOD }, '--limit', '4');
    assert.equal(status, 1);
    assert.equal(lines.at(-1), '2 passed, 1 failed, 1 skipped');
    assert.ok(lines.some((line) => line.startsWith('failed: test/a.test.ts: killed after 4 s in: never ends')), lines.join('\n'));
  });

  const noMount = process.getuid?.() !== 0 && 'needs root to mount';
  it('kills a file that waits for a FUSE server that does not answer', { skip: noMount }, () => {
    const { lines } = runOn({ 'a.test.ts': HANGS_IN_FUSE, 'b.test.ts': GOOD }, '--limit', '4');
    assert.equal(lines.at(-1), '1 passed, 1 failed, 1 skipped');
    const line = lines.find((text) => text.startsWith('failed: test/a.test.ts: killed after 4 s'));
    assert.ok(line !== undefined && !line.includes('could not be killed'), lines.join('\n'));
  });

  it('kills a file whose process does not end after its tests', () => {
    const text = "import test from 'node:test'; test('fine', () => {}); setInterval(() => {}, 1000);";
    const { lines } = runOn({ 'a.test.ts': text }, '--limit', '4');
    assert.equal(lines.at(-1), '1 passed, 1 failed, 0 skipped');
    assert.ok(lines.some((line) => line.includes('killed after 4 s, with no test running')), lines.join('\n'));
  });

  it('counts a file that does not load, or has no test, as failed', () => {
    const { lines } = runOn({ 'a.test.ts': "import './nowhere.js';", 'b.test.ts': 'export {};' });
    assert.equal(lines.at(-1), '0 passed, 2 failed, 0 skipped');
    assert.ok(lines.includes('failed: test/b.test.ts: has no tests'));
  });

  it('runs a failed e2e file once more and says so', () => {
    const flaky = `
      import test from 'node:test';
      import { existsSync, writeFileSync } from 'node:fs';
      test('flaky', () => { if (!existsSync('DIR/seen')) { writeFileSync('DIR/seen', ''); throw new Error('first'); } });`;
    const { status, lines } = runOn({ 'e2e/a.test.ts': flaky, 'e2e/b.test.ts': BAD });
    assert.ok(lines.includes('passed on the second run: test/e2e/a.test.ts'), lines.join('\n'));
    assert.equal(lines.at(-1), '2 passed, 1 failed, 0 skipped');
    assert.equal(status, 1);
  });

  it('does not start files after the deadline and counts them as failed', () => {
    const { lines } = runOn({ 'a.test.ts': GOOD }, '--deadline', '0');
    assert.equal(lines.at(-1), '0 passed, 1 failed, 0 skipped');
  });

  it('counts a check that failed before', () => {
    const { status, lines } = runOn({ 'a.test.ts': GOOD }, '--step', 'eslint=1', '--step', 'build=0');
    assert.ok(lines.includes('failed: eslint'));
    assert.equal(lines.at(-1), '1 passed, 1 failed, 1 skipped');
    assert.equal(status, 1);
  });

  it('leaves no process behind', { skip: process.getuid?.() !== 0 && 'needs a pid namespace' }, () => {
    const name = `left${process.pid}`;
    runOn({ 'a.test.ts': `
      import test from 'node:test';
      import { spawn } from 'node:child_process';
      test('leaves a process', () => {
        spawn('bash', ['-c', 'exec -a ${name} sleep 100'], { detached: true, stdio: 'ignore' }).unref();
      });` });
    const count = `cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -c '^${name}$'`;
    const { stdout } = spawnSync('sh', ['-c', count], { encoding: 'utf8' });
    assert.equal(stdout.trim(), '0');
  });
});

describe('readResults()', () => {
  const line = (type: string, name: string, nesting: number, more: object = {}): string =>
    JSON.stringify({ type, name, nesting, suite: false, skipped: false, subtests: false, ...more });

  it('does not count suites and parents', () => {
    const text = [
      line('start', 's', 0), line('start', 'a', 1), line('pass', 'a', 1), line('pass', 's', 0, { suite: true }),
      line('start', 'p', 0), line('start', 'c', 1), line('pass', 'c', 1), line('pass', 'p', 0),
    ].join('\n');
    assert.deepEqual(readResults(text), { passed: 2, failed: [], skipped: [], running: [] });
  });

  it('counts a failed child once, with its path', () => {
    const text = [
      line('start', 's', 0), line('start', 'a', 1), line('fail', 'a', 1), line('fail', 's', 0, { suite: true, subtests: true }),
    ].join('\n');
    assert.deepEqual(readResults(text).failed, ['s > a']);
  });

  it('counts a suite that fails by itself', () => {
    assert.deepEqual(readResults([line('start', 's', 0), line('fail', 's', 0, { suite: true })].join('\n')).failed, ['s']);
  });

  it('knows what was running, also with a torn last line', () => {
    assert.deepEqual(readResults([line('start', 's', 0), line('start', 'a', 1), '{"type":"pa'].join('\n')).running, ['s > a']);
  });
});

describe('the plan', () => {
  it('leaves opt-in folders out unless asked', () => {
    const files = ['test/a/x.test.ts', 'test/qemu-next/y.test.ts'];
    assert.deepEqual(choose(files, [], new Set()).map(({ file }) => file), ['test/a/x.test.ts']);
    assert.equal(choose(files, ['next'], new Set(['--qemu-next'])).length, 1);
  });

  it('runs files by name, opt-in ones last', () => {
    const files = ['test/containers/x.test.ts', 'test/mount/x.test.ts', 'test/e2e/x.test.ts'];
    const order = ['test/e2e/x.test.ts', 'test/mount/x.test.ts', 'test/containers/x.test.ts'];
    assert.deepEqual(choose(files, [], new Set(['--containers'])).map(({ file }) => file), order);
  });

  it('runs only pure folders in parallel and repeats only what uses mounts and programs', () => {
    assert.deepEqual([plan('test/abi/x.test.ts').parallel, plan('test/mount/x.test.ts').parallel], [true, false]);
    const repeated = (file: string): boolean => plan(file).retry;
    assert.deepEqual(['test/e2e/x.test.ts', 'test/mount/x.test.ts', 'test/vfio/mounted.test.ts'].map(repeated), [true, true, true]);
    assert.deepEqual(['test/abi/x.test.ts', 'test/vfio/irqs.test.ts', 'test/mdev/busy.test.ts'].map(repeated), [false, false, false]);
  });
});

