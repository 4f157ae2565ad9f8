import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { EVENTS } from '../../src/trace/events.js';
import {
  CATEGORIES, formatEvent, lineSink, logError, onTrace, parseCategories, setLogSink, trace, tracing, warn,
} from '../../src/trace/trace.js';
import type { Category, TraceEvent } from '../../src/trace/trace.js';

describe('trace()', () => {
  const ends: (() => void)[] = [];
  const collect = (...categories: Category[]): TraceEvent[] => {
    const events: TraceEvent[] = [];
    ends.push(onTrace((event) => events.push(event), categories.length === 0 ? undefined : categories));
    return events;
  };
  afterEach(() => { for (const end of ends.splice(0)) end(); });

  it('reaches only those who asked for the category', () => {
    const [all, mdev, fuse] = [collect(), collect('mdev'), collect('fuse', 'slot')];
    trace('mdev.remove', { uuid: 'u', waited: false });
    assert.deepEqual([all.length, mdev.length, fuse.length], [1, 1, 0]);
    assert.deepEqual(mdev[0], { name: 'mdev.remove', level: 'debug', fields: { uuid: 'u', waited: false } });
  });

  it('tracing() says whether anybody listens', () => {
    assert.equal(tracing('mdev'), false);
    collect('mdev');
    assert.deepEqual([tracing('mdev'), tracing('fuse')], [true, false]);
    collect();
    assert.equal(tracing('fuse'), true);
  });

  it('goes on when a sink throws', () => {
    ends.push(onTrace(() => { throw new Error('broken sink'); }));
    const events = collect();
    trace('fuse.end', { reason: 'x' });
    assert.equal(events.length, 1);
  });

  it('warnings and errors go to the log unless somebody takes them', () => {
    const logged: TraceEvent[] = [];
    const former = setLogSink((event) => logged.push(event));
    try {
      warn('careful');
      logError('reading', new Error('broken'));
      trace('fuse.end', { reason: 'not for the log' });
      assert.deepEqual(logged.map(({ name, level }) => [name, level]), [['log.warning', 'warning'], ['log.error', 'error']]);
      assert.match(String(logged[1]?.fields['error']), /^Error: broken\n/);
      const taken = collect('log');
      warn('again');
      assert.deepEqual([logged.length, taken.length], [2, 1]);
    } finally {
      setLogSink(former);
    }
  });
});

describe('trace categories', () => {
  it('have no event that nothing reports', () => {
    const root = new URL('../..', import.meta.url).pathname;
    const list = (top: string): string[] =>
      readdirSync(join(root, top), { recursive: true, encoding: 'utf8' }).map((name) => join(root, top, name));
    const files = ['src', 'mount'].flatMap(list).filter((name) => name.endsWith('.ts') && !name.endsWith('trace/events.ts'));
    const text = files.map((name) => readFileSync(name, 'utf8')).join('\n');
    assert.deepEqual(Object.keys(EVENTS).filter((name) => !text.includes(`'${name}'`)), []);
  });
  it('are those of the catalogue', () => {
    assert.deepEqual(new Set(CATEGORIES), new Set(Object.keys(EVENTS).map((name) => name.split('.')[0])));
  });
  it('parseCategories() takes names and all, and rejects others', () => {
    assert.deepEqual(parseCategories('mdev, fuse'), ['mdev', 'fuse']);
    assert.deepEqual(parseCategories('all'), [...CATEGORIES]);
    assert.deepEqual(parseCategories(''), []);
    assert.throws(() => parseCategories('mdev,frob'), /unknown trace category 'frob'; there are: all, fuse/);
  });
});

describe('formatEvent()', () => {
  it('quotes what is not one word, and leaves out what is undefined', () => {
    const fields = { unique: 7n, error: undefined, text: 'two words', length: 0 };
    const event: TraceEvent = { name: 'fuse.reply', level: 'debug', fields };
    assert.equal(formatEvent(event), 'fuse.reply unique=7 text="two words" length=0');
  });
  it('lineSink() puts the time before it', () => {
    const lines: string[] = [];
    lineSink((line) => lines.push(line))({ name: 'fuse.end', level: 'debug', fields: { reason: 'x' } });
    assert.match(lines[0] ?? '', /^ +\d+\.\d{3} fuse.end reason=x\n$/);
  });
});
