import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MainLoop } from '../../src/client/main-loop.js';
import { MigrationBlockers } from '../../src/client/vm/blockers.js';
import { MigrationNotifiers } from '../../src/client/vm/notifiers.js';
import { PAGE_SIZE, Ram } from '../../src/client/vm/ram.js';
import { Vm } from '../../src/client/vm/vm.js';
import { createEventfd, signalEventfd } from '../../src/sys/eventfd.js';

/** A VM whose handlers and events write down when they are called. */
function recorded(): { vm: Vm; calls: string[] } {
  const calls: string[] = [];
  const vm = new Vm({
    ram: new Ram(16 * PAGE_SIZE), state: 'prelaunch', environment: { event: (name) => calls.push(name), log: () => undefined },
  });
  for (const name of ['a', 'b']) {
    vm.handlers.add({
      prepare: (running, state) => calls.push(`prepare ${name} ${running} ${state}`),
      change: (running, state) => calls.push(`change ${name} ${running} ${state} ${vm.state}`),
    });
  }
  return { vm, calls };
}

describe('Vm', () => {
  it('starts: RESUME, run state, prepare handlers, handlers', () => {
    const { vm, calls } = recorded();
    vm.start();
    assert.deepEqual(calls, [
      'RESUME', 'prepare a true running', 'prepare b true running',
      'change a true running running', 'change b true running running',
    ]);
    vm.start();
    assert.equal(calls.length, 5);
  });

  it('stops: run state, handlers in reverse, STOP', () => {
    const { vm, calls } = recorded();
    vm.start();
    calls.length = 0;
    vm.stop('finish-migrate');
    assert.deepEqual(calls, [
      'prepare b false finish-migrate', 'prepare a false finish-migrate', 'change b false finish-migrate finish-migrate',
      'change a false finish-migrate finish-migrate', 'STOP',
    ]);
  });

  it('tells nobody when it is stopped and was not running', () => {
    const { vm, calls } = recorded();
    vm.stop('finish-migrate');
    assert.deepEqual([calls, vm.state, vm.former], [[], 'finish-migrate', 'prelaunch']);
  });

  it('is not live after it was paused', () => {
    const { vm } = recorded();
    vm.start();
    assert.deepEqual([vm.running, vm.live], [true, true]);
    vm.stop('paused');
    assert.deepEqual([vm.running, vm.live], [false, false]);
  });
});

describe('GuestMemory', () => {
  it('starts all logs or none, and stops them in reverse', () => {
    const { vm } = recorded();
    const calls: string[] = [];
    const log = (name: string, fails = false): Parameters<typeof vm.memory.addLog>[0] => ({
      start: () => {
        calls.push(`start ${name}`);
        if (fails) throw new Error('no');
      },
      sync: (ram) => void ram.markDirty(PAGE_SIZE, 1),
      stop: () => calls.push(`stop ${name}`),
    });
    vm.start();
    vm.memory.addLog(log('a'));
    const remove = vm.memory.addLog(log('b', true));
    assert.throws(() => vm.memory.startDirtyLog(), /no/);
    assert.deepEqual(calls.splice(0), ['start a', 'start b', 'stop a']);
    remove();
    vm.memory.startDirtyLog();
    vm.memory.syncDirtyLog();
    assert.equal(vm.ram.nextDirty(0), 1);
    vm.memory.stopDirtyLog();
    assert.deepEqual(calls, ['start a', 'stop a']);
    assert.equal(vm.ram.dirtyPages(), 0);
  });

  it('puts off stopping until the VM runs, after devices were prepared and before they are changed', () => {
    const { vm } = recorded();
    const calls: string[] = [];
    vm.handlers.add({ prepare: () => void calls.push('prepare'), change: () => void calls.push('change') });
    vm.memory.addLog({ start: () => undefined, sync: () => undefined, stop: () => void calls.push('stop') });
    vm.memory.startDirtyLog();
    vm.memory.stopDirtyLog();
    assert.deepEqual(calls, []);
    vm.start();
    assert.deepEqual(calls, ['prepare', 'stop', 'change']);
  });
});

describe('Ram', () => {
  it('knows what was written while it tracks', () => {
    const ram = new Ram(20 * PAGE_SIZE);
    ram.write(0, Uint8Array.of(1));
    assert.equal(ram.dirtyPages(), 0);
    ram.tracking = true;
    ram.write(2 * PAGE_SIZE - 1, Uint8Array.of(1, 2));
    ram.write(19 * PAGE_SIZE, Uint8Array.of(1));
    const found: number[] = [];
    for (let page = ram.nextDirty(0); page >= 0; page = ram.nextDirty(page + 1)) found.push(page);
    assert.deepEqual([found, ram.dirtyPages()], [[1, 2, 19], 3]);
    ram.clearDirty(2);
    assert.equal(ram.nextDirty(2), 19);
    assert.equal(ram.nextDirty(20), -1);
    ram.close();
  });

  it('rejects a size that is no multiple of the page', () => {
    for (const size of [0, -PAGE_SIZE, PAGE_SIZE + 1]) assert.throws(() => new Ram(size), RangeError);
  });
});

describe('MigrationBlockers', () => {
  it('refuses by --only-migratable first, then because it is busy; newest first', () => {
    let busy = false;
    const blockers = new MigrationBlockers(() => busy);
    const first = blockers.add('first');
    blockers.add('second', ['normal']);
    assert.deepEqual(blockers.reasons(), ['second', 'first']);
    assert.deepEqual(blockers.reasons('cpr-reboot'), ['first']);
    blockers.delete(first);
    blockers.delete(first);
    assert.deepEqual(blockers.reasons(), ['second']);
    busy = true;
    assert.throws(() => blockers.add('third'), {
      code: 'EBUSY', message: 'disallowing migration blocker (migration/snapshot in progress) for: third',
    });
    const only = new MigrationBlockers(() => true, true);
    assert.throws(() => only.add('x', ['normal']), {
      code: 'EACCES', message: 'disallowing migration blocker (--only-migratable) for: x',
    });
    assert.throws(() => only.add('x', ['cpr-reboot']), { code: 'EBUSY' });
    assert.deepEqual(blockers.reasons(), ['second']);
  });
});

describe('MigrationNotifiers', () => {
  it('calls those of the mode, the newest first; setup stops at the first error', () => {
    const notifiers = new MigrationNotifiers();
    const calls: string[] = [];
    notifiers.add((notice) => void calls.push(`a ${notice}`));
    const remove = notifiers.add((notice) => {
      calls.push(`b ${notice}`);
      if (notice === 'setup') throw new Error('refused');
    });
    notifiers.add((notice) => void calls.push(`c ${notice}`));
    notifiers.add((notice) => void calls.push(`cpr ${notice}`), ['cpr-reboot']);
    assert.throws(() => notifiers.call('setup'), /refused/);
    notifiers.call('failed');
    remove();
    notifiers.call('done');
    assert.deepEqual(calls, ['c setup', 'b setup', 'c failed', 'b failed', 'a failed', 'c done', 'a done']);
  });
});

describe('MainLoop', () => {
  it('runs jobs in the order of the calls, one at a time, and goes on after one that throws', async () => {
    const loop = new MainLoop();
    const calls: string[] = [];
    const first = loop.run(async () => {
      calls.push('first');
      await new Promise((resolve) => setImmediate(resolve));
      calls.push('first ends');
      return 1;
    });
    const second = loop.run(() => {
      calls.push('second');
      throw new Error('second');
    });
    const third = loop.run(() => calls.push('third'));
    await assert.rejects(second, /second/);
    assert.equal(await first, 1);
    await third;
    assert.deepEqual(calls, ['first', 'first ends', 'second', 'third']);
  });

  it('queues one job for an eventfd that is signalled twice, behind what was there first', async () => {
    const loop = new MainLoop();
    const eventfd = createEventfd();
    const calls: string[] = [];
    let handled: () => void = () => undefined;
    const done = new Promise<void>((resolve) => (handled = resolve));
    const close = loop.watchEventfd(eventfd.fd, () => {
      calls.push('handler');
      handled();
    }, assert.ifError);
    const before = loop.run(async () => {
      signalEventfd(eventfd.fd);
      signalEventfd(eventfd.fd);
      await new Promise((resolve) => setTimeout(resolve, 20));
      calls.push('job');
    });
    await before;
    await done;
    await loop.run(() => undefined);
    assert.deepEqual(calls, ['job', 'handler']);
    close();
    close();
    signalEventfd(eventfd.fd);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(calls.length, 2);
    eventfd.close();
  });
});
