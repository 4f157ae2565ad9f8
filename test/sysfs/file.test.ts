/** Attribute files while several operations are under way: the lock of an open file, removal, poll, interrupts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ErrnoName } from '../../src/abi/errno.js';
import { Errno, isErrno } from '../../src/abi/errno.js';
import type { AttributeNode } from '../../src/sysfs/attribute-node.js';
import type { Attribute, AttributeRequest } from '../../src/sysfs/attribute.js';
import { ro, rw, wo } from '../../src/sysfs/attribute.js';
import { bindGroup } from '../../src/sysfs/group.js';
import { DEBUGFS } from '../../src/sysfs/attribute-node.js';
import type { LazyDir } from '../../src/device/lazy-dir.js';
import { Tree } from '../../src/kernfs/tree.js';
import { fakeRequest } from '../fakes/caller.js';
import { attachGroups, Gate } from '../kernfs/fixture.js';

const POLL_QUIET = 0x145;
const POLL_NEWS = 0x14f;
const fails = (code: ErrnoName) => (error: unknown) => isErrno(error, code);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

function device(...attributes: Attribute<undefined>[]): { tree: Tree; dir: LazyDir; node: (name: string) => AttributeNode } {
  const tree = new Tree();
  const dir = attachGroups(tree.root, 'device', [bindGroup(undefined, attributes)]);
  return { tree, dir, node: (name) => dir.lookup(name) as AttributeNode };
}

/** What a promise has come to after everything that can run now has run. */
async function settled(promise: Promise<unknown> | undefined): Promise<'pending' | 'done' | ErrnoName> {
  let state: 'pending' | 'done' | ErrnoName = 'pending';
  promise?.then(
    () => (state = 'done'),
    (error: unknown) => (state = error instanceof Errno ? error.code : 'EIO'),
  );
  await new Promise(setImmediate);
  return state;
}

describe('AttributeFile', () => {
  it('operations on one open file run one after the other; on another they do not wait', async () => {
    const gates = [new Gate(), new Gate()];
    const started: string[] = [];
    const { node } = device(
      rw('a', () => 'x\n', async (_, data) => {
        started.push(text(data));
        await gates[started.length - 1]?.opened;
      }),
    );
    const file = node('a').open(fakeRequest());
    const other = node('a').open(fakeRequest());
    const buffer = bytes('2');
    const first = file.write(fakeRequest(), 0, bytes('1')) as Promise<number>;
    const second = file.write(fakeRequest(), 0, buffer) as Promise<number>;
    buffer[0] = 0x58;
    assert.equal(await settled(second), 'pending');
    assert.deepEqual(started, ['1']);
    assert.equal(text(other.read(fakeRequest(), 0, 10) as Uint8Array), 'x\n');
    gates[0]?.open();
    assert.equal(await first, 1);
    await new Promise(setImmediate);
    assert.deepEqual(started, ['1', '2'], 'the data was copied before the wait');
    gates[1]?.open();
    assert.equal(await second, 1);
    assert.equal(text(file.read(fakeRequest(), 0, 10) as Uint8Array), 'x\n', 'unlocked again');
  });

  it('a caller that is interrupted while it waits for the lock gets EINTR and its store does not run', async () => {
    const gate = new Gate();
    let stores = 0;
    const { node } = device(
      wo('a', async () => {
        stores++;
        await gate.opened;
      }),
    );
    const file = node('a').open(fakeRequest(undefined, 1));
    const first = file.write(fakeRequest(), 0, bytes('1')) as Promise<number>;
    const request = fakeRequest();
    const second = file.write(request, 0, bytes('2')) as Promise<number>;
    request.interrupt();
    await assert.rejects(second, fails('EINTR'));
    gate.open();
    await first;
    assert.equal(stores, 1);
  });

  it('a store that fails later frees the lock', async () => {
    const { node } = device(
      wo('a', async () => {
        await Promise.resolve();
        throw new Errno('EBUSY');
      }),
    );
    const file = node('a').open(fakeRequest(undefined, 1));
    for (let n = 0; n < 2; n++) await assert.rejects(async () => file.write(fakeRequest(), 0, bytes('1')), fails('EBUSY'));
  });

  it('store may take less than it got, and never answers more', () => {
    let answer: number | undefined = 1;
    const { node } = device(wo('a', () => answer));
    const file = node('a').open(fakeRequest(undefined, 1));
    assert.equal(file.write(fakeRequest(), 0, bytes('abc')), 1);
    answer = 99;
    assert.equal(file.write(fakeRequest(), 0, bytes('abc')), 3);
    answer = undefined;
    assert.equal(file.write(fakeRequest(), 0, bytes('abc')), 3);
  });

  it('release() lets the node go', () => {
    const { dir, node } = device(ro('a', () => ''));
    const first = node('a');
    const file = first.open(fakeRequest(undefined, 0));
    first.forgotten();
    assert.equal(node('a'), first, 'open');
    file.release();
    first.forgotten();
    assert.notEqual(dir.lookup('a'), first);
  });
});

describe('poll', () => {
  it('tells of a change until the next read from the start', () => {
    const { dir, node } = device(ro('a', () => '1\n'), ro('b', () => '1\n'));
    const file = node('a').open(fakeRequest(undefined, 0));
    const quiet = node('b').open(fakeRequest(undefined, 0));
    assert.equal(file.poll(fakeRequest(), undefined), POLL_NEWS, 'after open');
    void file.read(fakeRequest(), 0, 10);
    void quiet.read(fakeRequest(), 0, 10);
    assert.equal(file.poll(fakeRequest(), undefined), POLL_QUIET);
    let woken = 0;
    file.poll(fakeRequest(), () => woken++);
    dir.notify('a');
    dir.notify('a');
    assert.equal(woken, 1, 'a waker is called once');
    assert.equal(file.poll(fakeRequest(), undefined), POLL_NEWS);
    assert.equal(quiet.poll(fakeRequest(), undefined), POLL_QUIET);
    void file.read(fakeRequest(), 2, 10);
    assert.equal(file.poll(fakeRequest(), undefined), POLL_NEWS, 'reading on at the end shows nothing anew');
    void file.read(fakeRequest(), 0, 10);
    assert.equal(file.poll(fakeRequest(), undefined), POLL_QUIET);
  });

  it('notify() on what nobody looks at does nothing, and reaches named groups', () => {
    const tree = new Tree();
    const dir = attachGroups(tree.root, 'd', [bindGroup(undefined, [ro('a', () => '')], 'group')]);
    dir.notify('nothing');
    dir.notify('group/a');
    const file = (tree.root.find('d/group/a') as AttributeNode).open(fakeRequest(undefined, 0));
    void file.read(fakeRequest(), 0, 1);
    dir.notify('group/a');
    assert.equal(file.poll(fakeRequest(), undefined), POLL_NEWS);
  });

  it('removal wakes and polls as a change', () => {
    const { tree, dir, node } = device(ro('a', () => '1\n'));
    const file = node('a').open(fakeRequest(undefined, 0));
    void file.read(fakeRequest(), 0, 10);
    let woken = 0;
    file.poll(fakeRequest(), () => woken++);
    void tree.remove(dir);
    assert.equal(woken, 1);
    assert.equal(file.poll(fakeRequest(), undefined), POLL_NEWS);
  });
});

describe('removal', () => {
  it('waits for a running show and a running store; new ones get ENODEV', async () => {
    const gate = new Gate();
    const { tree, dir, node } = device(rw('a', () => gate.opened.then(() => 'late\n'), () => gate.opened));
    const reader = node('a').open(fakeRequest());
    const writer = node('a').open(fakeRequest());
    const read = reader.read(fakeRequest(), 0, 10) as Promise<Uint8Array>;
    const write = writer.write(fakeRequest(), 0, bytes('1')) as Promise<number>;
    const removed = tree.remove(dir);
    assert.equal(await settled(removed), 'pending');
    gate.open();
    assert.equal(text(await read), 'late\n');
    assert.equal(await write, 1);
    assert.equal(await settled(removed), 'done');
    assert.throws(() => reader.read(fakeRequest(), 0, 10), fails('ENODEV'));
  });

  it('a store that removes its own attribute is not waited for; one of many does it', async () => {
    const answers: boolean[] = [];
    const gate = new Gate();
    const fixture: { dir?: LazyDir } = {};
    const { tree, dir, node } = device(
      wo('remove', async (_, __, request: AttributeRequest) => {
        await gate.opened;
        const mine = await request.removeSelf();
        answers.push(mine);
        if (mine && fixture.dir !== undefined) await tree.remove(fixture.dir);
      }),
    );
    fixture.dir = dir;
    const writes = [1, 2, 3].map(async (n) => node('remove').open(fakeRequest(undefined, 1)).write(fakeRequest(), 0, bytes(String(n))));
    gate.open();
    assert.deepEqual(await Promise.all(writes), [1, 1, 1]);
    assert.deepEqual(answers.sort(), [false, false, true]);
    assert.ok(dir.removed);
  });

  it('removeSelf() in a store that ends at once takes no promise', () => {
    const { dir, tree, node } = device(
      wo('remove', (_, __, request) => {
        assert.equal(request.removeSelf(), true);
        assert.equal(tree.remove(dir), undefined);
      }),
    );
    assert.equal(node('remove').open(fakeRequest(undefined, 1)).write(fakeRequest(), 0, bytes('1')), 1);
    assert.equal(tree.root.lookup('device'), undefined);
  });

  it('an attribute that removed itself is neither found nor listed', () => {
    const { dir, tree } = device(ro('a', () => ''), ro('b', () => ''));
    void tree.remove(dir.lookup('a')!);
    assert.equal(dir.lookup('a'), undefined);
    assert.deepEqual(dir.entries().map(({ name }) => name), ['b']);
  });
});

describe('debugfs files', () => {
  it('have size 0, no mode check at open, EINVAL without a show and EIO once removed', () => {
    const tree = new Tree();
    const dir = attachGroups(tree.root, 'd', [bindGroup(undefined, [wo('knob', () => undefined), ro('state', () => 'RUNNING\n')])], DEBUGFS);
    const knob = (dir.lookup('knob') as AttributeNode).open(fakeRequest());
    const state = (dir.lookup('state') as AttributeNode).open(fakeRequest());
    assert.equal(dir.lookup('knob')?.size, 0);
    assert.throws(() => knob.read(fakeRequest(), 0, 10), fails('EINVAL'));
    assert.throws(() => state.write(fakeRequest(), 0, bytes('1')), fails('EINVAL'));
    void tree.remove(dir);
    assert.throws(() => state.read(fakeRequest(), 0, 10), fails('EIO'));
  });
});
