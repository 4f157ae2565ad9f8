/** The comparison itself: alignment, what is left out, and the rows that explain differences. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { GoldenRecord } from '../golden/load.js';
import { explain, loadExpected } from './lib/expected.js';
import type { Difference, ObservedRecord } from './lib/records.js';
import { compareSection } from './lib/records.js';

let number = 0;
const kernel = (op: string, fields: Readonly<Record<string, unknown>> = {}): GoldenRecord =>
  ({ kernel: 'k2', i: number++, area: 'x', sec: 's', op, ...fields });
const lab = (op: string, fields: Readonly<Record<string, unknown>> = {}): ObservedRecord =>
  ({ area: 'x', sec: 's', op, ...fields });
const fieldsOf = (differences: readonly Difference[]): string[] =>
  differences.map(({ record, field }) => `${String(record.op)}.${field}`);

test('equal runs have no differences', () => {
  const { same, differences } = compareSection(
    [kernel('a', { ret: 0 }), kernel('b', { ret: -1 })], [lab('a', { ret: 0 }), lab('b', { ret: -1 })]);
  assert.deepEqual([same, differences], [2, []]);
});

test('a field that differs, is missing or is too much is reported once', () => {
  const { different, differences } = compareSection([kernel('a', { ret: 0, out: '00' })], [lab('a', { ret: 1, more: 2 })]);
  assert.equal(different, 1);
  assert.deepEqual(fieldsOf(differences), ['a.ret', 'a.out', 'a.more']);
});

test('unstable fields and undefined bytes are not compared', () => {
  const { differences } = compareSection(
    [kernel('a', { time: 1, unstable: ['time'] }), kernel('b', { out: '01', undefined_bytes: 1 })],
    [lab('a', { time: 2 }), lab('b', { out: '02', undefined_bytes: 1 })]);
  assert.deepEqual(differences, []);
});

test('records without partner do not shift the rest', () => {
  const ops = ['a', 'b', 'c', 'd', 'e'];
  const { same, differences } = compareSection(ops.map((op) => kernel(op)), ['a', 'c', 'new', 'd', 'e'].map((op) => lab(op)));
  assert.equal(same, 4);
  assert.deepEqual(fieldsOf(differences), ['b.(missing)', 'new.(extra)']);
});

test('entries of a tree are paired by path', () => {
  const { same, differences } = compareSection(
    [kernel('entry', { path: '/a' }), kernel('entry', { path: '/b' })],
    [lab('entry', { path: '/b' }), lab('entry', { path: '/new' }), lab('entry', { path: '/a' })], { byPath: true });
  assert.equal(same, 2);
  assert.deepEqual(fieldsOf(differences), ['entry.(extra)']);
});

test('an entry is right when one of the recordings has it so', () => {
  const alternatives = [[kernel('entry', { path: '/a', mode: 2 }), kernel('entry', { path: '/b' })]];
  const base = [kernel('entry', { path: '/a', mode: 1 }), kernel('entry', { path: '/c' })];
  const compare = (...entries: ObservedRecord[]): string[] =>
    fieldsOf(compareSection(base, entries, { byPath: true, alternatives }).differences);
  assert.deepEqual(compare(lab('entry', { path: '/a', mode: 2 }), lab('entry', { path: '/b' })), []);
  assert.deepEqual(compare(lab('entry', { path: '/a', mode: 3 }), lab('entry', { path: '/d' })), ['entry.mode', 'entry.(extra)']);
  assert.deepEqual(compare(), ['entry.(missing)']);
});

test('a row explains a difference when all that it names fits', () => {
  const [difference] = compareSection(
    [kernel('poll', { revents: '0x5', fd: 'group' })], [lab('poll', { revents: '0x1', fd: 'group' })]).differences;
  assert.ok(difference);
  const explains = (match: Readonly<Record<string, unknown>>): boolean =>
    explain(difference, [{ reason: 'x', match }]) !== undefined;
  assert.ok(explains({ field: 'revents', 'record.op': 'poll' }));
  assert.ok(explains({ 'record.fd': ['cdev', 'group'], lab: '0x1' }));
  assert.ok(explains({ kernel: '~^0x[0-9]$' }));
  assert.ok(!explains({ field: 'ret' }));
  assert.ok(!explains({ field: 'revents', lab: '0x5' }));
});

test('every reason that explains a difference has an entry in docs/differences.md', () => {
  const path = new URL('../../docs/differences.md', import.meta.url);
  const document = existsSync(path) ? readFileSync(path, 'utf8') : '';
  const missing = [...new Set(loadExpected(new URL('./', import.meta.url)).map(({ reason }) => reason))]
    .filter((reason) => !document.includes(`(${reason})`));
  assert.deepEqual(missing, []);
});
