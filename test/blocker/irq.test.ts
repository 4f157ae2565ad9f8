import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_NUM_IRQS,
} from '../../src/abi/vfio.js';
import { BlockerIrq } from '../../src/blocker/irq.js';
import type { IrqSet } from '../../src/vfio/irqs.js';
import { FakeCaller, FakeOwnedFd } from '../fakes/caller.js';
import { errnoOf } from '../vfio/migration-client.js';

const change = (
  dataType: number, data: readonly number[], count = data.length, action: number = VFIO_IRQ_SET_ACTION_TRIGGER,
): IrqSet =>
  ({ index: VFIO_PCI_NUM_IRQS, start: 0, count, flags: dataType | action, dataType, action, data });

describe('the blocker interrupt', () => {
  it('signals the eventfd once, until it is replaced, unset or released', () => {
    const [caller, irq] = [new FakeCaller(), new BlockerIrq()];
    const { fd, eventfd } = caller.eventfd();
    const other = caller.eventfd();
    const copies = FakeOwnedFd.openCount;
    irq.signal();
    irq.set(caller, change(VFIO_IRQ_SET_DATA_EVENTFD, [fd]));
    irq.signal();
    assert.equal(eventfd.drain(), 1n);
    irq.set(caller, change(VFIO_IRQ_SET_DATA_EVENTFD, [other.fd]));
    irq.signal();
    assert.equal(other.eventfd.drain(), 1n);
    irq.set(caller, change(VFIO_IRQ_SET_DATA_EVENTFD, [-1]));
    assert.equal(FakeOwnedFd.openCount, copies);
    irq.set(caller, change(VFIO_IRQ_SET_DATA_EVENTFD, [fd]));
    irq.release();
    assert.equal(FakeOwnedFd.openCount, copies);
    eventfd.close();
    other.eventfd.close();
  });

  it('can be triggered by the client itself, and unset with DATA_NONE', () => {
    const [caller, irq] = [new FakeCaller(), new BlockerIrq()];
    const { fd, eventfd } = caller.eventfd();
    irq.set(caller, change(VFIO_IRQ_SET_DATA_EVENTFD, [fd]));
    irq.set(caller, change(VFIO_IRQ_SET_DATA_NONE, [], 1));
    irq.set(caller, change(VFIO_IRQ_SET_DATA_BOOL, [1]));
    irq.set(caller, change(VFIO_IRQ_SET_DATA_BOOL, [0]));
    assert.equal(eventfd.drain(), 2n);
    irq.set(caller, change(VFIO_IRQ_SET_DATA_NONE, [], 0));
    assert.equal(errnoOf(() => irq.set(caller, change(VFIO_IRQ_SET_DATA_NONE, [], 0))), 'EINVAL');
    eventfd.close();
  });

  it('rejects mask with ENOTTY, a closed fd with EBADF, another kind of fd and -2 with EINVAL', () => {
    const [caller, irq] = [new FakeCaller(), new BlockerIrq()];
    const set = (...args: Parameters<typeof change>): string | undefined => errnoOf(() => irq.set(caller, change(...args)));
    assert.equal(set(VFIO_IRQ_SET_DATA_NONE, [], 1, VFIO_IRQ_SET_ACTION_MASK), 'ENOTTY');
    assert.equal(set(VFIO_IRQ_SET_DATA_EVENTFD, [99]), 'EBADF');
    assert.equal(set(VFIO_IRQ_SET_DATA_EVENTFD, [caller.install('other')]), 'EINVAL');
    assert.equal(set(VFIO_IRQ_SET_DATA_EVENTFD, [-2]), 'EINVAL');
    assert.equal(set(VFIO_IRQ_SET_DATA_EVENTFD, []), 'EINVAL');
    assert.equal(set(VFIO_IRQ_SET_DATA_BOOL, []), 'EINVAL');
  });
});
