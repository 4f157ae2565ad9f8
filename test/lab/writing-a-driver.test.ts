/** docs/writing-a-driver.md: what its driver is for VFIO, without a mount. Its commands are run by test/docs. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERRNO, isErrno } from '../../src/abi/errno.js';
import { MDEVSIM_FEATURE_MIGRATION_NOTICE } from '../../src/abi/mdevsim.js';
import {
  VFIO_DEVICE_STATE_RESUMING, VFIO_DEVICE_STATE_RUNNING, VFIO_DEVICE_STATE_STOP, VFIO_DEVICE_STATE_STOP_COPY,
} from '../../src/abi/vfio.js';
import { defineDriver, Errno, Lab } from '../../src/index.js';
import type { MdevDriver, SimpleDevice } from '../../src/index.js';
import { localRequest } from '../../src/lab/local-caller.js';
import { loadUserDriver } from '../../src/lab/user-driver.js';
import type { MdevInstance } from '../../src/mdev/driver.js';
import { setLogSink } from '../../src/trace/trace.js';
import { documentAt } from '../docs/suite.js';
import { Scratch } from '../docs/scratch.js';

const { files } = documentAt('docs/writing-a-driver.md');
const request = localRequest(0);
const scratch = new Scratch(files);
after(() => scratch[Symbol.dispose]());

function probe(driver: MdevDriver): MdevInstance {
  const parent = driver.createParent(0);
  const [type] = parent.types;
  assert.ok(type !== undefined);
  return parent.probe({ uuid: '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', log: () => undefined }, type);
}

const refuses = (code: keyof typeof ERRNO, run: () => unknown): void => assert.throws(run, (error) => isErrno(error, code));

describe('the driver of the page', () => {
  let driver: MdevDriver;
  before(async () => { driver = (await loadUserDriver(join(scratch.dir, 'counter.ts')))({}); });

  it('takes less than 60 lines', () => assert.ok((files.get('counter.ts') ?? '').split('\n').length < 60));

  it('has a region that is read and written', () => {
    const { vfio } = probe(driver);
    assert.equal(vfio.write?.(request, 8, Uint8Array.of(1, 2, 3)), 3);
    assert.deepEqual([...(vfio.read?.(request, 7, 5) as Uint8Array)], [0, 1, 2, 3, 0]);
    refuses('EINVAL', () => vfio.read?.(request, 4090, 7));
    refuses('EINVAL', () => vfio.read?.(request, 2 ** 40, 1));
    refuses('EINVAL', () => vfio.write?.(request, 4096, Uint8Array.of(1)));
  });

  it('has a state that migrates', async () => {
    const [source, target] = [probe(driver).vfio, probe(driver).vfio];
    assert.ok(source.migration !== undefined && target.migration !== undefined);
    await source.write?.(request, 4000, Uint8Array.of(42));
    const saving = await source.migration.setState(request, VFIO_DEVICE_STATE_STOP_COPY);
    const resuming = await target.migration.setState(request, VFIO_DEVICE_STATE_RESUMING);
    for (;;) {
      const data = await saving?.read?.(request, 0, 1000);
      if (data === undefined || data.length === 0) break;
      await resuming?.write?.(request, 0, Uint8Array.from(data));
    }
    await target.migration.setState(request, VFIO_DEVICE_STATE_STOP);
    await target.migration.setState(request, VFIO_DEVICE_STATE_RUNNING);
    assert.deepEqual(target.read?.(request, 0, 4096), source.read?.(request, 0, 4096));
    assert.deepEqual([...(target.read?.(request, 4000, 1) as Uint8Array)], [42]);
  });

  it('has as many instances as it says', () => {
    const parent = driver.createParent(0);
    const [type] = parent.types;
    assert.ok(type !== undefined);
    const made = Array.from({ length: 4 }, () => parent.probe({ uuid: '', log: () => undefined }, type));
    assert.equal(parent.availableInstances(type), 0);
    refuses('ENOSPC', () => parent.probe({ uuid: '', log: () => undefined }, type));
    made[0]?.remove();
    assert.equal(parent.availableInstances(type), 1);
  });
});

describe('defineDriver()', () => {
  const make = (device: SimpleDevice): MdevInstance =>
    probe(defineDriver({ name: 'x', types: [{ name: 'x-1' }], create: () => device })());

  /** What was logged while `run` ran. */
  function logged(run: () => unknown): string[] {
    const lines: string[] = [];
    const former = setLogSink(({ fields }) => lines.push(String(fields['message'])));
    try {
      run();
    } finally {
      setLogSink(former);
    }
    return lines;
  }

  it('makes EIO of an accident, and logs where it was; Errno passes', () => {
    const read = (): never => { throw new TypeError('oops'); };
    const write = (): never => { throw new Errno('EPERM'); };
    const { vfio } = make({ regions: [{ size: 8, read, write }] });
    const [line = ''] = logged(() => refuses('EIO', () => vfio.read?.(request, 0, 1)));
    assert.match(line, /^driver x, read of a region: \/.*TypeError: oops$/);
    assert.deepEqual(logged(() => refuses('EPERM', () => vfio.write?.(request, 0, Uint8Array.of(1)))), []);
  });

  it('a remove() that throws, at once or later, is logged and keeps nothing', async () => {
    for (const remove of [(): never => { throw new TypeError('oops'); }, (): never => { throw new Errno('EBUSY'); }]) {
      const [line = ''] = logged(() => make({ remove }).remove());
      assert.match(line, /^driver x, remove\(\): .*(TypeError: oops|EBUSY)/);
    }
    const lines: string[] = [];
    const former = setLogSink(({ fields }) => lines.push(String(fields['message'])));
    // A type with `void` lets a driver's async function in.
    const later: () => unknown = () => Promise.reject(new TypeError('oops'));
    make({ remove: later }).remove();
    await new Promise((resolve) => setImmediate(resolve));
    setLogSink(former);
    assert.match(lines.join(), /^driver x, remove\(\): .*TypeError: oops$/);
  });

  it('takes the notice that a migration starts, which its policy may go by', () => {
    const { vfio } = make({});
    assert.deepEqual(vfio.features?.map(({ feature }) => feature), [MDEVSIM_FEATURE_MIGRATION_NOTICE]);
  });

  it('without state, nothing migrates; without write, a region is read-only', () => {
    const { vfio, debugfs } = make({ regions: [{ size: 8 }] });
    assert.equal(vfio.migration, undefined);
    assert.deepEqual(debugfs?.vfio, []);
    assert.deepEqual(vfio.read?.(request, 0, 8), new Uint8Array(8));
    refuses('EINVAL', () => vfio.write?.(request, 0, Uint8Array.of(1)));
  });

  it('attributes have the modes that they can have', () => {
    const [show, store] = [() => 1, () => undefined];
    const { groups } = make({ attributes: { r: { show }, w: { store }, rw: { show, store } } });
    assert.deepEqual(groups[0]?.attributes.map(({ name, mode }) => `${name} ${mode.toString(8)}`), ['r 444', 'w 200', 'rw 644']);
  });

  it('refuses options that it does not have', () => {
    const factory = defineDriver({ name: 'x', types: [{ name: 'x-1' }], create: () => ({}) });
    assert.throws(() => factory({ own: { y: 1 } }), /driver x has no option 'y'/);
  });
});

describe('an MdevDriver of a user\'s own', () => {
  it('that throws while the lab is made is told with file and line', async () => {
    const fail = (): never => { throw new TypeError('oops'); };
    const factory = (): MdevDriver => ({ name: 'x', parentPath: () => 'virtual/x/x', createParent: fail });
    const mounting = Lab.mount(scratch.dir, { drivers: [{ name: 'x', factory }] });
    await assert.rejects(mounting, /^Error: \/.*writing-a-driver\.test\.ts:\d+: TypeError: oops$/);
  });
});

describe('loadUserDriver()', () => {
  it('says what is wrong with a module, and where', async () => {
    await assert.rejects(loadUserDriver(join(scratch.dir, 'typo.mjs')),
      /^RangeError: driver .*typo\.mjs: \/.*\/typo\.mjs:3: SyntaxError: Unexpected token '}'$/);
    await assert.rejects(loadUserDriver('./nothing.js'), /driver \.\/nothing\.js: no such file/);
    const other = fileURLToPath(new URL('../e2e/deadline.ts', import.meta.url));
    await assert.rejects(loadUserDriver(other), /its default export must be/);
  });
});
