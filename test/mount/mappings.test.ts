import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Mappings } from '../../mount/mappings.js';
import type { OpenFile } from '../../src/kernfs/file.js';
import { SimpleFile } from '../../src/kernfs/file-node.js';
import { Tree } from '../../src/kernfs/tree.js';
import { mappingAt } from '../../src/sys/process.js';
import type { Mapping } from '../../src/sys/process.js';
import { noMounts, tsClient, withMount } from './mounted.js';

const OURS = 77;

suite('Mappings', () => {
  const space: readonly Mapping[] = [
    { start: 0x1000, end: 0x3000, ino: 0 }, { start: 0x3000, end: 0x4000, ino: OURS }, { start: 0x5000, end: 0x6000, ino: 1 },
  ];
  const guard = (): { mappings: Mappings; looks: number[] } => {
    const looks: number[] = [];
    const mappings = new Mappings((ino) => ino === OURS, (_tid, address) => {
      looks.push(address);
      return space.find(({ start, end }) => address >= start && address < end);
    });
    return { mappings, looks };
  };

  test('check() refuses a range that touches a mapped file of the lab with EFAULT', () => {
    const { mappings } = guard();
    for (const [address, length] of [[0x3000n, 4], [0x3fffn, 1], [0x2ffen, 4], [0x1000n, 0x5000]] as const) {
      assert.throws(() => mappings.check(1, address, length), { code: 'EFAULT' });
    }
  });

  test('check() leaves other mappings and what is not mapped alone', () => {
    const { mappings } = guard();
    for (const [address, length] of [[0x1000n, 0x2000], [0x5800n, 8], [0x4000n, 8], [0x5ff8n, 16], [0n, 4], [(1n << 64n) - 8n, 4]] as const) {
      mappings.check(1, address, length);
    }
  });

  test('a mapping is looked up once for many accesses of a client', () => {
    const { mappings, looks } = guard();
    for (let i = 0; i < 100; i++) mappings.check(1, 0x1000n + BigInt(i), 8);
    assert.deepEqual(looks, [0x1000]);
    mappings.check(2, 0x1000n, 8);
    assert.deepEqual(looks, [0x1000, 0x1000]);
  });
});

suite('mappingAt()', () => {
  test('finds the mapping of an address, and nothing beside it', () => {
    const stack = mappingAt(process.pid, Number.MAX_SAFE_INTEGER);
    assert.equal(stack, undefined);
    assert.equal(mappingAt(process.pid, 0), undefined);
    assert.equal(mappingAt(2 ** 30, 0x1000), undefined, 'no such process');
  });
});

suite('memory that is a mapped file of the lab', { skip: noMounts }, () => {
  class MappedFile extends SimpleFile {
    override get size(): number {
      return 4096;
    }
  }

  test('an ioctl with an argument there is EFAULT, and the lab goes on', { timeout: 20_000 }, async () => {
    const tree = new Tree();
    const file: OpenFile = {
      kind: 'test',
      read: () => Buffer.from('content\n'),
      ioctl: (request, command, argument) => {
        if (command === 0x3bf1) request.caller.read(argument, 8);
        else if (command === 0x3bf2) request.caller.write(argument, Buffer.from('x'));
        else request.caller.memory().read(argument, 4096);
        return 0;
      },
      release: () => undefined,
    };
    const node = tree.root.attach(new MappedFile(tree.allocateInos(1), 'file', 0o666, () => file));
    assert.ok(node);
    await withMount(tree, async ({ dir }) => {
      const { stdout, stderr } = await tsClient('client-mapped.ts', [`${dir}/file`, `${dir}/file`]).done;
      assert.equal(stdout, '-14\n-14\n-14\n-14\n', stderr);
    });
  });
});
