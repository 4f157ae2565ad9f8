import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BLOCKER_POLICY_NAMES } from '../../src/blocker/policy.js';
import { CliError } from '../../src/cli/errors.js';
import { labsIn } from '../../src/cli/labs.js';
import { table } from '../../src/cli/list.js';
import {
  labArguments, parseCount, parseDriver, parseKernel, parseMdev, parsePolicy, parseSlots,
} from '../../src/cli/options.js';
import { findCommand } from '../../src/cli/run/command.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

describe('option values', () => {
  it('parseDriver() takes a name and a number of parents', () => {
    assert.deepEqual(parseDriver('mtty'), { name: 'mtty', parents: 1 });
    assert.deepEqual(parseDriver('mtty=2'), { name: 'mtty', parents: 2 });
    assert.deepEqual(parseDriver('mtty,features=p2p+stop-copy'), { name: 'mtty', parents: 1, features: 'stop-copy+p2p' });
    assert.deepEqual(parseDriver('./my.js=2,a=1,b='), { name: './my.js', parents: 2, options: { a: '1', b: '' } });
    assert.deepEqual(parseDriver('mtty=3,features=stop-copy'), { name: 'mtty', parents: 3, features: 'stop-copy' });
  });
  for (const text of ['', '=2', 'mtty=', 'mtty=0', 'mtty=x', 'mtty=1=2', 'mtty=-1', 'mtty=1025',
    'features=stop-copy', 'mtty,', 'mtty,x', 'mtty,x=1,x=2', 'mtty,=1', 'mtty,features=',
    'mtty,features=p2p', 'mtty,features=stop-copy+fly', 'mtty,features=stop-copy,features=stop-copy']) {
    it(`parseDriver() rejects '${text}'`, () => assert.throws(() => parseDriver(text), CliError));
  }

  it('parseMdev() takes type, uuid and parent', () => {
    assert.deepEqual(parseMdev('mtty-1'), { type: 'mtty-1' });
    const request = parseMdev(`mtty-1,parent=mtty1,uuid=${UUID.toUpperCase()}`);
    assert.deepEqual(request, { type: 'mtty-1', uuid: UUID, parent: 'mtty1' });
  });
  for (const text of ['', 'uuid=x', 'mtty-1,uuid=x', `mtty-1,uuid=${UUID}0`, 'mtty-1,parent=', 'mtty-1,what=1', 'mtty-1,']) {
    it(`parseMdev() rejects '${text}'`, () => assert.throws(() => parseMdev(text), CliError));
  }

  it('knows the policies that there are, and rejects unknown kernels', () => {
    for (const name of BLOCKER_POLICY_NAMES) assert.equal(parsePolicy(name), name);
    assert.throws(() => parsePolicy('maybe'), /--blocker is one of observe, track, notify, enforce, not 'maybe'/);
    assert.throws(() => parseKernel('5.4'), CliError);
  });

  it('parseCount() keeps to its bounds', () => {
    assert.equal(parseCount('3', 'n', 1, 3), 3);
    for (const text of ['0', '4', '1.5', '', '0x1', ' 1']) assert.throws(() => parseCount(text, 'n', 1, 3), CliError);
    assert.equal(parseSlots('0'), 0);
  });

  it('labArguments() says the same again', () => {
    assert.deepEqual(
      labArguments({
        driver: [{ name: 'mtty', parents: 2, features: 'stop-copy+p2p', options: { a: '1' } }],
        mdev: [{ type: 'mtty-1', uuid: UUID, parent: 'mtty1' }],
        blocker: 'enforce', kernel: '7.2',
      }),
      [
        '--driver', 'mtty=2,features=stop-copy+p2p,a=1', '--mdev', `mtty-1,uuid=${UUID},parent=mtty1`,
        '--blocker', 'enforce', '--kernel', '7.2',
      ],
    );
  });
});

describe('labsIn()', () => {
  it('finds whole labs only, with their names as they are', () => {
    const text = [
      '30 1 0:30 / /tmp/a\\040lab rw - fuse.mdevsim mdevsim rw',
      '31 1 0:30 /sys/bus/mdev /sys/bus/mdev rw shared:1 - fuse.mdevsim mdevsim rw',
      '32 1 0:31 / /mnt/other rw - fuse.sshfs host: rw',
      '33 1 8:1 / / rw - ext4 /dev/sda1 rw', '',
    ].join('\n');
    assert.deepEqual(labsIn(text), ['/tmp/a lab']);
  });
});

describe('table()', () => {
  it('aligns its columns', () => assert.equal(table([['a', 'bb'], ['ccc', 'd']]), 'a    bb\nccc  d'));
});

describe('findCommand()', () => {
  it('looks in PATH as a shell does', () => {
    assert.match(findCommand('sh'), /\/sh$/);
    assert.equal(findCommand('/bin/sh'), '/bin/sh');
    assert.throws(() => findCommand('no-such-command'), { message: 'no-such-command: command not found', exitCode: 127 });
    assert.throws(() => findCommand('/etc/passwd'), { exitCode: 126 });
    assert.throws(() => findCommand('/etc'), { exitCode: 126 });
    assert.throws(() => findCommand(''), { exitCode: 127 });
  });
});
