/** The pure parts of the driver core: numbers, names, uevent texts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { Ida } from '../../src/device/ida.js';
import { cString, kstrtoul } from '../../src/device/kstrtox.js';
import { NameMap } from '../../src/device/name-map.js';
import { relativePath } from '../../src/device/path.js';
import { parseSyntheticUevent } from '../../src/device/uevent.js';
import { parseCreate } from '../../src/mdev/uuid.js';

describe('Ida', () => {
  it('gives the lowest free number, whatever the order of giving back', () => {
    const ida = new Ida();
    const taken = new Set<number>();
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return seed % below;
    };
    for (let step = 0; step < 5000; step++) {
      if (taken.size > 0 && random(5) < 2) {
        const number = [...taken][random(taken.size)] ?? 0;
        taken.delete(number);
        ida.free(number);
      } else {
        let lowest = 0;
        while (taken.has(lowest)) lowest++;
        assert.equal(ida.alloc(), lowest);
        taken.add(lowest);
      }
    }
  });
});

describe('NameMap', () => {
  it('is a map in which deleted names are gone and can come back, over many rounds', () => {
    const map = new NameMap<{ n: number }>();
    const model = new Map<string, { n: number }>();
    for (let step = 0; step < 3000; step++) {
      const name = `n${(step * 7919) % 97}`;
      if (step % 3 === 0) {
        assert.equal(map.delete(name), model.delete(name));
      } else {
        map.set(name, { n: step });
        model.set(name, { n: step });
      }
      assert.equal(map.size, model.size);
    }
    assert.deepEqual([...map].sort(), [...model].sort());
    assert.deepEqual([...map.keys()].sort(), [...model.keys()].sort());
    assert.equal([...map.values()].length, model.size);
    for (const name of model.keys()) map.delete(name);
    assert.deepEqual([[...map], map.has('n1'), map.get('n1')], [[], false, undefined]);
  });
});

describe('kstrtoul()', () => {
  const good: readonly (readonly [string, bigint])[] = [
    ['0', 0n], ['1\n', 1n], ['0x1f', 31n], ['0X1F', 31n], ['010', 8n], ['+1', 1n], ['00', 0n],
    ['18446744073709551615', (1n << 64n) - 1n],
  ];
  for (const [text, value] of good) it(`takes ${JSON.stringify(text)}`, () => assert.equal(kstrtoul(text), value));
  for (const text of ['', '+', '\n', ' 1', '1 ', '-1', '-0', '1x', '0x', '0b1', '08', '1\n\n', '++1', 'abc']) {
    it(`rejects ${JSON.stringify(text)} with EINVAL`, () =>
      assert.throws(() => kstrtoul(text), (error) => isErrno(error, 'EINVAL')));
  }
  it('rejects 65 bits with ERANGE', () =>
    assert.throws(() => kstrtoul('18446744073709551616'), (error) => isErrno(error, 'ERANGE')));
  it('cString() ends at the first NUL', () => assert.equal(cString(Buffer.from('1\0x')), '1'));
});

describe('relativePath()', () => {
  const rows = [
    ['/devices/virtual/vfio/0', '/class/vfio', '../../../../class/vfio'],
    ['/bus/mdev/devices', '/devices/virtual/mtty/mtty/u', '../../../devices/virtual/mtty/mtty/u'],
    ['/module/mdev/holders', '/module/mtty', '../../mtty'],
    ['/a', '/a/b', 'b'],
  ] as const;
  for (const [from, to, wanted] of rows) it(`${from} to ${to}`, () => assert.equal(relativePath(from, to), wanted));
});

describe('parseSyntheticUevent()', () => {
  const UUID = 'fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed';
  it('takes an action alone, with a newline', () => {
    assert.deepEqual(parseSyntheticUevent('change\n'), { action: 'change', env: ['SYNTH_UUID=0'] });
  });
  it('takes a UUID and arguments', () => {
    const env = [`SYNTH_UUID=${UUID}`, 'SYNTH_ARG_A=1', 'SYNTH_ARG_B=c'];
    assert.deepEqual(parseSyntheticUevent(`add ${UUID} A=1 B=c`), { action: 'add', env });
  });
  const badPairs = [`add ${UUID}x`, `add ${UUID} A`, `add ${UUID} A=`, `add ${UUID} =1`];
  for (const text of ['', '\n', 'bogus', 'ad', 'adds', 'Add', 'add ', 'add nope', ...badPairs]) {
    it(`rejects ${JSON.stringify(text)} with EINVAL`, () =>
      assert.throws(() => parseSyntheticUevent(text), (error) => isErrno(error, 'EINVAL')));
  }
});

describe('parseCreate()', () => {
  const uuid = 'A0000000-0000-4000-8000-00000000000f';
  it('makes the name lower case and does not look at the 37th byte', () => {
    assert.equal(parseCreate(Buffer.from(`${uuid}x`)), uuid.toLowerCase());
  });
  const bad = [['35 bytes', uuid.slice(1)], ['38 bytes', `${uuid}\n\n`], ['no digit', uuid.replace('f', 'g')]] as const;
  for (const [what, text] of bad) {
    it(`rejects ${what} with EINVAL`, () =>
      assert.throws(() => parseCreate(Buffer.from(text)), (error) => isErrno(error, 'EINVAL')));
  }
});
