/** Any bytes to any attribute of the tree: an errno or a count, and what exists stays what it was. Fixed seed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { Dir } from '../../src/kernfs/dir.js';
import { FileNode } from '../../src/kernfs/file-node.js';
import { Bench, Handle, O_WRONLY, PARENT, request } from './bench.js';

const UUIDS = ['a0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000002'] as const;

/** A linear congruential generator: numbers below `limit`. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 0x100000000) * limit);
  };
}

const WORDS = [
  '', '\n', '\0', '0', '00', '0x0', '-1', '2', 'on', 'off', 'y', 'N', 'auto', 'enabled', 'add', 'change\n', 'add nope', 'track',
  'enforce', 'observe', 'STOP_COPY 5', 'RUNNING EIO 1', '4294967296', '99999999999999999999', 'x'.repeat(4096), ' '.repeat(5000),
  '\u00ff\u0000\u0080',
];

function files(dir: Dir): FileNode[] {
  return dir.entries().flatMap(({ name }) => {
    const node = dir.lookup(name);
    if (node instanceof Dir) return files(node);
    return node instanceof FileNode && (node.mode & 0o222) !== 0 && node.path.startsWith('/sys') ? [node] : [];
  });
}

/** What must stay: the names of everything, and the attributes that say what exists. */
async function picture(bench: Bench): Promise<unknown> {
  const names = (dir: Dir): string[] => dir.entries().flatMap(({ name }) => {
    const node = dir.lookup(name);
    return node instanceof Dir ? [node.path, ...names(node)] : [`${dir.path}/${name}`];
  });
  return [names(bench.machine.root).sort(), await bench.available()];
}

describe('any bytes to any attribute', () => {
  it('give a count or an errno, and devices neither come nor go', async () => {
    const bench = new Bench();
    bench.load();
    for (const uuid of UUIDS) await bench.create(uuid);
    const random = generator(20261121);
    const before = await picture(bench);
    let writes = 0;
    const nodes = files(bench.machine.root).filter(({ name }) => name !== 'remove');
    assert(nodes.length > 25, `${nodes.length} attributes`);
    for (const node of nodes) {
      const file = new Handle(await node.open(request(O_WRONLY)), O_WRONLY);
      for (let round = 0; round < 150; round++) {
        const word = WORDS[random(WORDS.length)] ?? '';
        const noise = Array.from({ length: random(64) }, () => random(256));
        const data = random(3) === 0 ? Buffer.from(noise) : Buffer.from(word, 'latin1');
        try {
          const count = await file.write(data);
          assert(count >= 0 && count <= Math.min(data.length, 4096), `${node.path}: ${count} of ${data.length}`);
        } catch (error) {
          assert(isErrno(error), `${node.path} ${JSON.stringify(data.toString('latin1'))}: ${String(error)}`);
        }
        writes++;
      }
      await file.close();
    }
    assert(writes > 3000);
    assert.deepEqual(await picture(bench), before);
    for (const uuid of UUIDS) assert.equal(await bench.echo('1', `${PARENT}/${uuid}/remove`), 1);
    assert.deepEqual(await bench.available(), [24, 12]);
  });
});
