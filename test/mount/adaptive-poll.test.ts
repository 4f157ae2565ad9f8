import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AdaptivePoll } from '../../mount/adaptive-poll.js';

/** Attempts among the next `requests`, each wasted and followed by a request `gap` microseconds after going to sleep. */
function attempts(poll: AdaptivePoll, requests: number, gap: number): number {
  let count = 0;
  let now = 0;
  for (let i = 0; i < requests; i++) {
    if (poll.attempt() > 0) {
      count++;
      now += poll.window;
      poll.wasted(now);
    }
    now += gap;
    poll.woken(now);
  }
  return count;
}

test('attempt() is 0 on one CPU and with a window of 0', () => {
  assert.equal(new AdaptivePoll({ cpus: 1 }).attempt(), 0);
  assert.equal(new AdaptivePoll({ window: 0 }).attempt(), 0);
});

test('requests that come while asking keep it going', () => {
  const poll = new AdaptivePoll();
  for (let i = 0; i < 1000; i++) {
    assert.equal(poll.attempt(), 100);
    poll.paid();
  }
});

test('a client on the same CPU, which runs only while we sleep, is soon left alone', () => {
  const poll = new AdaptivePoll();
  assert.ok(attempts(poll, 100, 5) < 15);
  assert.ok(attempts(poll, 10_000, 5) < 100);
});

test('requests that come seldom do not switch it off', () => {
  assert.equal(attempts(new AdaptivePoll(), 1000, 10_000), 1000);
});

test('it comes back when it pays again', () => {
  const poll = new AdaptivePoll();
  attempts(poll, 1000, 5);
  let paid = 0;
  for (let i = 0; i < 1000; i++) {
    if (poll.attempt() > 0) {
      poll.paid();
      paid++;
    } else {
      poll.woken(i * 10);
    }
  }
  assert.ok(paid > 700, `${paid} of 1000`);
});
