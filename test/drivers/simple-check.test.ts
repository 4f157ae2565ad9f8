/** What defineDriver() and create() say of definitions that are none. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkDevice, checkDriver } from '../../src/drivers/simple/check.js';

const nothing = (): undefined => undefined;
const driver = (changes: object): object => ({ name: 'counter', types: [{ name: 'counter-1' }], create: nothing, ...changes });

const DRIVERS: readonly [unknown, string][] = [
  [undefined, 'it is missing'], [5, 'it must be an object, not 5'], [driver({ name: 'a b' }), 'name must be a name of letters, digits, `_`, `-` and `.`, not "a b"'],
  [driver({ types: undefined }), 'types is missing'], [driver({ types: [] }), 'types must be a list of at least one type, not 0'],
  [driver({ types: [{ name: 'x', instnces: 3 }] }), "types[0] has no 'instnces'"],
  [driver({ types: [{ name: 'x', instances: '3' }] }), 'types[0].instances must be a number, not "3"'],
  [driver({ types: [{ name: 'x', instances: 0 }] }), 'types[0].instances must be a number above 0, not 0'],
  [driver({ create: undefined }), 'create is missing'], [driver({ create: 'x' }), 'create must be a function, not "x"'],
];

const DEVICES: readonly [unknown, string][] = [
  [undefined, 'it is missing'], [{ attributes: { 'a/b': { show: nothing } } }, 'attributes.a/b must be a name of letters, digits, `_`, `-` and `.`, not "a/b"'],
  [{ attributes: { remove: { show: nothing } } }, 'attributes.remove must be a name that no device has already, not "remove"'],
  [{ attributes: { migration_block: { show: nothing } } }, 'attributes.migration_block must be a name that no device has already, not "migration_block"'],
  [{ attributes: { a: {} } }, 'attributes.a must be an object with show() or store(), not Object'],
  [{ attributes: { a: { show: 'x' } } }, 'attributes.a.show must be a function, not "x"'],
  [{ regions: [{ size: '4' }] }, 'regions[0].size must be a number, not "4"'], [{ regions: [{ size: 1.5 }] }, 'regions[0].size must be a whole number, not 1.5'],
  [{ state: { save: nothing } }, 'state.load is missing'], [{ reset: 1 }, 'reset must be a function, not 1'],
];

describe('a driver of one\'s own', () => {
  for (const [definition, message] of DRIVERS) {
    it(`is refused: ${message}`, () => assert.throws(() => checkDriver(definition), { name: 'TypeError', message }));
  }
  for (const [device, message] of DEVICES) {
    it(`has its device refused: ${message}`, () => assert.throws(() => checkDevice(device), { name: 'TypeError', message }));
  }

  it('may have what it likes beside that', () => {
    checkDriver(driver({ helper: 1, types: [{ name: 'counter-1', label: 'Counter', instances: 2 }] }));
    checkDevice({ attributes: { 'a.b-c_1': { store: nothing } }, regions: [undefined, { size: 0 }], mine: 1 });
  });
});
