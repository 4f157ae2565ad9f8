import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isErrno } from '../../src/abi/errno.js';
import { isStateSupported, nextState, statePath } from '../../src/vfio/migration-arcs.js';
import { migrationFeatureWords, parseMigrationFeatures } from '../../src/vfio/migration-features.js';
import { migrationStateName, migrationStateNumber } from '../../src/vfio/migration-states.js';

const number = (name: string): number => migrationStateNumber(name) ?? -1;
const walk = (from: string, to: string, flags: number): string => {
  try {
    return statePath(number(from), number(to), flags).map(migrationStateName).join(' ');
  } catch (error) {
    return isErrno(error) ? error.code : String(error);
  }
};

const COMBINATIONS = ['stop-copy', 'stop-copy,p2p', 'stop-copy,pre-copy', 'stop-copy,p2p,pre-copy'];

/** Features, from, to, states entered or the errno. */
const WALKS: readonly (readonly [string, string, string, string])[] = [
  ['stop-copy,p2p,pre-copy', 'RUNNING', 'STOP_COPY', 'RUNNING_P2P STOP STOP_COPY'],
  ['stop-copy,p2p,pre-copy', 'PRE_COPY', 'STOP_COPY', 'PRE_COPY_P2P STOP_COPY'],
  ['stop-copy,p2p,pre-copy', 'PRE_COPY', 'STOP', 'RUNNING RUNNING_P2P STOP'],
  ['stop-copy,p2p,pre-copy', 'RUNNING', 'PRE_COPY_P2P', 'RUNNING_P2P PRE_COPY_P2P'],
  ['stop-copy,p2p,pre-copy', 'STOP', 'PRE_COPY', 'RUNNING_P2P RUNNING PRE_COPY'],
  ['stop-copy,p2p,pre-copy', 'STOP_COPY', 'RESUMING', 'STOP RESUMING'],
  ['stop-copy,p2p,pre-copy', 'RESUMING', 'RUNNING', 'STOP RUNNING_P2P RUNNING'],
  ['stop-copy,p2p,pre-copy', 'STOP_COPY', 'PRE_COPY', 'EINVAL'],
  ['stop-copy,p2p,pre-copy', 'STOP_COPY', 'PRE_COPY_P2P', 'EINVAL'],
  ['stop-copy,p2p', 'RUNNING', 'STOP_COPY', 'RUNNING_P2P STOP STOP_COPY'],
  ['stop-copy,p2p', 'RUNNING', 'PRE_COPY', 'EINVAL'],
  ['stop-copy,pre-copy', 'RUNNING', 'STOP', 'STOP'],
  ['stop-copy,pre-copy', 'PRE_COPY', 'STOP_COPY', 'STOP_COPY'],
  ['stop-copy,pre-copy', 'PRE_COPY', 'STOP', 'RUNNING STOP'],
  ['stop-copy,pre-copy', 'STOP', 'PRE_COPY', 'RUNNING PRE_COPY'],
  ['stop-copy,pre-copy', 'RUNNING', 'RUNNING_P2P', 'EINVAL'],
  ['stop-copy', 'RUNNING', 'STOP_COPY', 'STOP STOP_COPY'],
  ['stop-copy', 'RUNNING', 'RESUMING', 'STOP RESUMING'],
  ['stop-copy', 'STOP_COPY', 'RUNNING', 'STOP RUNNING'],
  ['stop-copy', 'RUNNING', 'PRE_COPY', 'EINVAL'],
  ['stop-copy', 'RUNNING', 'RUNNING_P2P', 'EINVAL'],
];

describe('nextState()', () => {
  for (const [features, from, to, expected] of WALKS) {
    it(`${features}: ${from} to ${to} is ${expected}`, () => {
      assert.equal(walk(from, to, parseMigrationFeatures(features)), expected);
    });
  }

  for (const features of COMBINATIONS) {
    it(`${features}: every walk ends at its target and enters supported states only`, () => {
      const flags = parseMigrationFeatures(features);
      const states = [1, 2, 3, 4, 5, 6, 7].filter((state) => isStateSupported(state, flags));
      for (const from of states) {
        for (const to of states) {
          const refused = from === number('STOP_COPY') && (to === number('PRE_COPY') || to === number('PRE_COPY_P2P'));
          if (refused) assert.throws(() => statePath(from, to, flags), (error) => isErrno(error, 'EINVAL'));
          else {
            const path = statePath(from, to, flags);
            assert.equal(path.at(-1) ?? from, to);
            assert.ok(path.length <= 4 && path.every((state) => isStateSupported(state, flags)));
          }
        }
      }
    });
  }

  it('rejects ERROR as target and as origin, and numbers that are no states, with EINVAL', () => {
    const flags = parseMigrationFeatures('stop-copy p2p pre-copy');
    const refused = (from: number, to: number): void =>
      assert.throws(() => nextState(from, to, flags), (error) => isErrno(error, 'EINVAL'));
    for (const to of [0, 8, 9, 100, 0x80000000, 0xffffffff]) refused(2, to);
    for (const to of [1, 2, 3, 4, 5, 6, 7]) refused(0, to);
  });
});

describe('parseMigrationFeatures()', () => {
  for (const features of COMBINATIONS) {
    it(`reads ${features} back`, () => assert.equal(migrationFeatureWords(parseMigrationFeatures(features)).join(','), features));
  }
  it('rejects an unknown word and a device without stop-copy', () => {
    assert.throws(() => parseMigrationFeatures('stop-copy,postcopy'), /unknown migration feature 'postcopy'/);
    assert.throws(() => parseMigrationFeatures('p2p'), /must include stop-copy/);
    assert.throws(() => parseMigrationFeatures(''), RangeError);
  });
});
