import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { check, cycles, importsOf } from '../../scripts/check-layers.js';
import { forbidden, layerOf } from '../../scripts/layers.js';

describe('layers', () => {
  it('of this project are kept', () => assert.deepEqual(check(new URL('../..', import.meta.url).pathname), []));

  for (const [file, layer] of [
    ['src/main.ts', 'src'], ['src/abi/errno.ts', 'src/abi'], ['src/drivers/index.ts', 'src/drivers'],
    ['src/drivers/mtty/uart.ts', 'src/drivers/*'],
    ['mount/session.ts', 'mount'], ['test/x.ts', undefined],
  ] as const) it(`layerOf(${file})`, () => assert.equal(layerOf(file), layer));

  const rows: readonly (readonly [string, string, boolean, RegExp | undefined])[] = [
    ['src/vfio/group.ts', 'src/abi/vfio.ts', false, undefined],
    ['src/abi/vfio.ts', 'src/vfio/group.ts', false, /src\/abi may not import src\/vfio/],
    ['src/kernfs/dir.ts', 'src/trace/trace.ts', false, undefined],
    ['src/vfio/group.ts', 'mount/session.ts', false, /may not import mount/],
    ['src/drivers/mtty/a.ts', 'src/drivers/mtty/b.ts', false, undefined],
    ['src/drivers/mtty/a.ts', 'src/drivers/other/b.ts', false, /drivers do not import each other/],
    ['src/mdev/driver.ts', 'src/vfio/device.ts', true, undefined],
    ['src/mdev/driver.ts', 'src/vfio/device.ts', false, /only types/],
    ['src/lab/lab.ts', 'src/cli/run.ts', false, /may not import src\/cli/],
    ['src/lab/lab.ts', 'test/fakes/caller.ts', false, /not part of the program/],
    ['test/x.ts', 'src/cli/run.ts', false, undefined],
  ];
  for (const [from, to, typeOnly, expected] of rows) {
    it(`${from} importing ${typeOnly ? 'types of ' : ''}${to}`, () => {
      const answer = forbidden({ from, to, typeOnly });
      if (expected === undefined) assert.equal(answer, undefined);
      else assert.match(answer ?? '', expected);
    });
  }

  it('sees every way to import', () => {
    const text = `
      import a from './a.js'; import type { B } from './b.js'; import { type C } from './c.js';
      import { type D, e } from './d.js';
      export { f } from './f.js'; export type { G } from './g.js'; const h = await import('./h.js'); let i: import('./i.js').I;
      // import './not.js'
      const text = "import './neither.js'";`;
    assert.deepEqual(importsOf('x.ts', text).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' type' : ''}`),
      ['./a.js', './b.js type', './c.js type', './d.js', './f.js', './g.js type', './h.js', './i.js type']);
  });

  it('finds cycles', () => {
    assert.deepEqual(cycles(new Map([['a', ['b']], ['b', ['c']], ['c', ['a']], ['d', ['a']]])), [['a', 'b', 'c', 'a']]);
    assert.deepEqual(cycles(new Map([['a', ['b', 'c']], ['b', ['c']], ['c', []]])), []);
  });
});
