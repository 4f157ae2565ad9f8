import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { MDEVSIM, mdevsim } from './mdevsim.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };

describe('mdevsim', () => {
  for (const command of [[], ['mount'], ['run'], ['list'], ['umount']]) {
    it(`${[...command, '--help'].join(' ')} shows an example`, () => {
      const { status, stdout, stderr } = mdevsim([...command, '--help']);
      assert.equal(status, 0);
      assert.match(stdout, /Usage: mdevsim/);
      assert.match(stdout, /\nExample:\n {2}mdevsim /);
      assert.doesNotMatch(stdout, /default: \[\]/);
      assert.equal(stderr, '');
    });
  }

  it('whose output nobody reads any more says nothing of it', () => {
    const text = [...MDEVSIM, 'vmm', '--help'].map((word) => `'${word}'`).join(' ');
    const { stderr, stdout } = spawnSync('bash', ['-c', `set -o pipefail; { sleep 0.5; ${text}; echo "status $?" >&2; } | true`], { encoding: 'utf8' });
    assert.deepEqual([stdout, stderr], ['', 'status 0\n']);
  });

  it('--version says which', () => assert.equal(mdevsim(['--version']).stdout, `${version}\n`));

  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['an unknown command', ['frob'], /unknown command 'frob'/],
    ['an unknown option', ['mount', '--frob', '/tmp'], /unknown option '--frob'/],
    ['a missing directory', ['mount'], /missing required argument 'dir'/],
    ['a missing command', ['run'], /missing required argument 'command'/],
    ['a bad --driver', ['mount', '/tmp', '--driver', 'mtty=x'], /parents in --driver mtty=x must be a number from 1 to 1024/],
    ['a bad --mdev', ['mount', '/tmp', '--mdev', 'mtty-1,uuid=1'], /'1' in --mdev mtty-1,uuid=1 is not a UUID/],
    ['a bad policy', ['mount', '/tmp', '--blocker', 'x'], /--blocker is one of .*observe.*, not 'x'/],
    ['a bad kernel', ['mount', '/tmp', '--kernel', '2.4'], /--kernel is one of 6.12, 7.2/],
    ['nobody to wait for', ['vmm', '--for', 'x'], /--for must be a number from 1 to 2147483647, not 'x'/],
    ['a lab for nobody', ['mount', '--for', '0', '/nonexistent'], /--for must be a number from 1/],
    ['bad slots', ['run', '--slots', 'many', '--', 'true'], /--slots must be a number/],
    ['--lab with options of a new lab', ['run', '--lab', '/tmp', '--mdev', 'mtty-1', '--', 'true'], /--mdev is for a new lab/],
    ['a bad trace category', ['mount', '/tmp', '--trace', 'everything'], /unknown trace category 'everything'; there are: all/],
  ];
  for (const [what, args, message] of wrong) {
    it(`answers ${what} with one sentence and status 2`, () => {
      const { status, stdout, stderr } = mdevsim(args);
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.match(stderr, /^mdevsim: /);
      assert.doesNotMatch(stderr, /\n {4}at /);
      assert.ok(stderr.trimEnd().split('\n').length <= 2, stderr);
      assert.equal(status, 2);
    });
  }

  const failing: readonly (readonly [string, readonly string[], RegExp, number])[] = [
    ['mount without a name', ['mount', ''], /cannot mount: the name of the directory is empty/, 1],
    ['mount on what is not there', ['mount', '/nonexistent/dir'], /cannot mount at \/nonexistent\/dir/, 1],
    ['one driver twice', ['mount', '/nonexistent', '--driver', 'mtty', '--driver', 'mtty'], /driver mtty: it exists already/, 1],
    ['umount of what is no lab', ['umount', '/tmp'], /no lab is mounted at \/tmp/, 1],
    ['run in what is no lab', ['run', '--lab', '/tmp', '--', 'true'], /\/tmp is not a mounted lab/, 1],
    ['list of what is no lab', ['list', '--lab', '/tmp'], /\/tmp is not a mounted lab/, 1],
    ['run of an unknown command', ['run', '--', 'no-such-command'], /no-such-command: command not found/, 127],
    ['run of what cannot be executed', ['run', '--', '/etc/passwd'], /\/etc\/passwd: permission denied/, 126],
  ];
  for (const [what, args, message, expected] of failing) {
    it(`answers ${what} with one sentence and status ${expected}`, () => {
      const { status, stdout, stderr } = mdevsim(args);
      assert.equal(stdout, '');
      assert.match(stderr, message);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
      assert.equal(status, expected);
    });
  }
});
