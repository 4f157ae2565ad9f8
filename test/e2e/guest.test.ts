/** A Linux guest finds the card as a serial port, and bytes in its FIFO move with it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Console, guestArguments, guestKernel, makeInitramfs } from './guest.js';
import { SOURCE, TARGET, TestLab } from './lab.js';
import { whyNoQemu } from './requirements.js';
import { sh } from './child.js';

const missing = whyNoQemu() ?? (sh('command -v cpio && command -v busybox').status === 0 ? undefined : 'needs cpio and busybox');

describe('a Linux guest', { timeout: 170_000 }, () => {
  it('uses the card, is migrated with bytes in the FIFO, and reads them on the other side', { skip: missing ?? false }, () =>
    TestLab.with({}, async (lab) => {
      const kernel = guestKernel();
      const initramfs = makeInitramfs(lab.scratch);
      const paths = { source: join(lab.scratch, 'console.source'), target: join(lab.scratch, 'console.target') };
      const source = await lab.vm({
        uuid: SOURCE, via: 'group', memory: '256M', args: guestArguments(kernel, initramfs, paths.source),
      });
      const here = await Console.open(paths.source);
      assert.match(await here.answer(100, 'card'), /^ttyS\d+$/);
      assert.equal(await here.tell('loop hello', 30, 'loop'), 'hello');
      assert.equal(Number(await here.tell('fill migrate-me', 20, 'filled')) & 1, 1);

      const target = await lab.vm({
        uuid: TARGET, via: 'group', memory: '256M', incoming: true, args: guestArguments(kernel, initramfs, paths.target),
      });
      await source.migrate(target);
      here.close();
      const there = await Console.open(paths.target);
      assert.equal(await there.tell('drain', 20, 'drained'), 'migrate-me');
      assert.equal(await there.tell('loop world', 30, 'loop'), 'world');
      there.close();
    }));
});
