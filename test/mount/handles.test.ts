import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Holder } from '../../mount/handles.js';

function released(): { readonly holder: Holder; readonly count: () => number } {
  let count = 0;
  return { holder: new Holder({ kind: 'file', release: () => void count++ }), count: () => count };
}

test('a file is released by close() when nothing runs on it, else by the end of what runs', () => {
  const idle = released();
  idle.holder.close();
  assert.equal(idle.count(), 1);
  const busy = released();
  busy.holder.begin();
  busy.holder.begin();
  busy.holder.close();
  busy.holder.end();
  assert.equal(busy.count(), 0);
  busy.holder.end();
  assert.equal(busy.count(), 1);
});

test('an operation that begins after close() does not release it again', () => {
  const { holder, count } = released();
  holder.close();
  holder.begin();
  holder.end();
  assert.equal(count(), 1);
});
