/** A client that does anything with the RFC's versions, in any order: it gets errnos or answers, and the device works on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numbers } from '../fakes/numbers.js';
import { RfcClient, START_OF } from './rfc-client.js';
import type { Version } from './rfc-client.js';

const OPERATIONS = 1500;
const SEEDS: readonly (readonly [Version, number])[] = [['rfc', 1], ['rfc', 2], ['rfc-v2', 3], ['rfc-v3', 4], ['rfc-v3', 5]];
const STATES = new Set(['RUNNING', 'STOP', 'STOP_COPY', 'RESUMING']);

for (const [version, seed] of SEEDS) {
  test(`${version}, seed ${seed}`, { timeout: 60_000 }, async () => {
    const random = numbers(seed);
    const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
    const source = await RfcClient.openNew(version);
    assert.equal((await source.set('stop')).errno, '0');
    const image = await source.image();
    const client = await RfcClient.openNew(version, { blocker: pick(['track', 'enforce']) });
    const start = START_OF[version];
    const size = await client.regionSize();
    /** Where the client might go on. */
    let next = start;
    const places = (): number => pick([0, 1, start, next, next, next, size - 1, size, random(size)]);
    const lengths = (): number => pick([0, 1, 2, 15, 16, 17, 4096, random(1 << 16)]);
    const operations: readonly (() => Promise<unknown>)[] = [
      () => client.set('stop'), () => client.set('start'), () => client.status(random(8), pick([0, 7, 8, 9])),
      async () => {
        const at = places();
        const { ret } = await client.tryReadState(at, lengths());
        if (ret > 0) next = at + ret;
      },
      async () => {
        const at = places();
        const data = image.subarray(at - start, at - start + lengths());
        if ((await client.tryWriteState(at, data)).errno === '0') next = at + data.length;
      },
      () => client.tryWriteState(places(), Uint8Array.from({ length: lengths() }, () => random(256))),
      () => client.dirty(BigInt(random(1 << 20)), BigInt(random(200))),
      async () => {
        try {
          client.gpu.controls.blocker.set(random(2) === 1);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'EBUSY');
        }
      },
      async () => {
        await client.close();
        assert.equal(client.state, 'RUNNING');
        await client.open();
      },
    ];
    for (let n = 0; n < OPERATIONS; n++) {
      await pick(operations)();
      assert.ok(STATES.has(client.state), client.state);
    }
    client.gpu.controls.blocker.set(false);
    await client.load(image);
    assert.equal((await client.set('start')).errno, '0');
    assert.equal(client.state, 'RUNNING');
    for (const one of [client, source]) await one.close();
  });
}
