/** Eventfd triggers with real eventfds, and the checks of SET_IRQS that all drivers share. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../src/abi/vfio.js';
import { Fd } from '../../src/sys/fd.js';
import { writeFd } from '../../src/sys/io.js';
import { bind, check } from '../../src/sys/libc.js';
import { copyIrqSet, EventfdTrigger } from '../../src/vfio/irqs.js';
import type { IrqSet } from '../../src/vfio/irqs.js';
import { FakeCaller, FakeOwnedFd } from '../fakes/caller.js';

describe('EventfdTrigger', () => {
  it('signals the eventfd until it is replaced or cleared, and closes every copy', () => {
    const before = FakeOwnedFd.openCount;
    const caller = new FakeCaller();
    const trigger = new EventfdTrigger();
    const [one, two] = [caller.eventfd(), caller.eventfd()];
    assert.equal(trigger.signal(), false);
    trigger.set(caller, one.fd);
    assert.equal(trigger.signal(), true);
    trigger.set(caller, two.fd);
    trigger.signal();
    trigger.signal();
    assert.deepEqual([one.eventfd.drain(), two.eventfd.drain()], [1n, 2n]);
    trigger.set(caller, -1);
    assert.equal(trigger.isSet, false);
    trigger.clear();
    assert.equal(FakeOwnedFd.openCount, before);
    one.eventfd.close();
    two.eventfd.close();
  });

  it('set() rejects a closed number with EBADF and another file with EINVAL, and has dropped the old one by then', () => {
    const caller = new FakeCaller();
    const { fd, eventfd } = caller.eventfd();
    for (const [bad, code] of [[999, 'EBADF'], [caller.install('other'), 'EINVAL']] as const) {
      const trigger = new EventfdTrigger();
      trigger.set(caller, fd);
      assert.throws(() => trigger.set(caller, bad), { code });
      assert.equal(trigger.isSet, false);
    }
    assert.equal(eventfd.copies, 0);
    eventfd.close();
  });

  it('signal() does not wait for a client that has filled its blocking eventfd', () => {
    const cEventfd = bind('eventfd', 'int', ['uint', 'int']);
    using blocking = new Fd(check(cEventfd(0, 0), 'eventfd'));
    const full = new Uint8Array(new BigUint64Array([0xffff_ffff_ffff_fffen]).buffer);
    assert.equal(writeFd(blocking.fd, full, 8), 8);
    const caller = new FakeCaller();
    caller.isEventfd = () => true;
    caller.takeFd = () => blocking;
    const trigger = new EventfdTrigger();
    trigger.set(caller, 3);
    assert.equal(trigger.signal(), true);
  });
});

describe('copyIrqSet()', () => {
  const BOOL = abi.VFIO_IRQ_SET_DATA_BOOL | abi.VFIO_IRQ_SET_ACTION_TRIGGER;
  const copy = (header: { argsz?: number; flags?: number; index?: number; start?: number; count?: number }, data: readonly number[] = []): IrqSet => {
    const caller = new FakeCaller();
    const bytes = Buffer.concat([abi.vfio_irq_set.encode({ argsz: 20 + data.length, ...header }), Uint8Array.from(data)]);
    return copyIrqSet(caller, caller.allocate(bytes), (index) => index < 2 ? 4 : undefined);
  };

  it('gives the data that the flags promise', () => {
    assert.deepEqual(copy({ flags: BOOL, start: 1, count: 3 }, [1, 0, 1]), {
      index: 0, start: 1, count: 3, flags: BOOL, dataType: abi.VFIO_IRQ_SET_DATA_BOOL, action: abi.VFIO_IRQ_SET_ACTION_TRIGGER, data: [1, 0, 1],
    });
    const eventfds = copy({ flags: abi.VFIO_IRQ_SET_DATA_EVENTFD, count: 2 }, [255, 255, 255, 255, 7, 0, 0, 0]);
    assert.deepEqual([eventfds.data, eventfds.action], [[-1, 7], 0]);
  });

  for (const [what, header, data] of [
    ['argsz without the header', { argsz: 19, flags: BOOL, count: 1 }, []],
    ['argsz without the data', { argsz: 22, flags: BOOL, count: 3 }, [1, 1, 1]],
    ['an index that is not there', { flags: BOOL, index: 2, count: 1 }, [1]],
    ['no data type', { flags: abi.VFIO_IRQ_SET_ACTION_TRIGGER, count: 1 }, [1]],
    ['two data types', { flags: BOOL | abi.VFIO_IRQ_SET_DATA_NONE, count: 1 }, [1]],
    ['an unknown flag', { flags: BOOL | 64, count: 1 }, [1]],
    ['a start past the end', { flags: BOOL, start: 4, count: 0 }, []],
    ['a range past the end', { flags: BOOL, start: 2, count: 3 }, [1, 1, 1]],
    ['a range that wraps', { argsz: 0xffff_ffff, flags: BOOL, start: 0xffff_ffff, count: 2 }, []],
  ] as const) {
    it(`rejects ${what} with EINVAL`, () => {
      assert.throws(() => copy(header, data), { code: 'EINVAL' });
    });
  }

  it('rejects data that can\'t be read with EFAULT', () => {
    assert.throws(() => copy({ argsz: 24, flags: BOOL, count: 4 }, [1]), { code: 'EFAULT' });
  });
});
