/**
 * Ten thousand devices: memory per mdev with the real mtty, VFIO and the lab's watchers (nothing mounted). Run through tsx,
 * every closure costs more than in the compiled program, so this is the upper end.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Machine } from '../../src/device/machine.js';
import { createMttyDriver } from '../../src/drivers/mtty/index.js';
import { watchDevice } from '../../src/lab/device.js';
import { LabEvents } from '../../src/lab/events.js';
import { MdevCore } from '../../src/mdev/core.js';
import { Vfio } from '../../src/vfio/registrar.js';

const COUNT = 10_000;
/** Bytes per mdev, as the project's goal is. */
const LIMIT = 6 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes in use: the JavaScript heap and what its buffers hold outside. */
function used(): number {
  for (let n = 0; n < 4; n++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function uuid(n: number): string {
  return `a0000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

describe('ten thousand devices', () => {
  it(`take at most ${LIMIT} bytes each, and give them back`, (context) => {
    const core = new MdevCore(new Machine(), new Vfio());
    const type = core.registerDriver(createMttyDriver({ ports: 3 * COUNT })).type('mtty-2');
    for (let n = 0; n < 200; n++) core.create(type, uuid(n));
    for (const device of [...core.devices.values()]) void core.remove(device);
    const events = new LabEvents();
    const before = used();
    for (let n = 0; n < COUNT; n++) watchDevice(core.create(type, uuid(n)), events);
    const each = (used() - before) / COUNT;
    context.diagnostic(`${each.toFixed(0)} bytes per mdev`);
    assert(each <= LIMIT, `${each} bytes per mdev`);
    for (const device of [...core.devices.values()]) assert.equal(core.remove(device), undefined);
    const left = (used() - before) / COUNT;
    context.diagnostic(`${left.toFixed(0)} bytes per mdev stay after removal`);
    assert(left < 400, `${left} bytes per mdev stay after removal`);
    assert.equal(core.devices.size, 0);
  });
});
