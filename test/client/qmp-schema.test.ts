/** query-qmp-schema: what it says is what the VMM does, and where QEMU has the same, QEMU says the same. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Vmm } from '../../src/index.js';
import { QmpReplyError } from '../../src/index.js';
import { connectMonitor } from '../e2e/monitor.js';
import { whyNoQemu } from '../e2e/requirements.js';
import { QEMU } from '../e2e/vm.js';
import { Bench, quickly } from './pair.js';
import type { Entity } from './schema/schema.js';
import { Schema } from './schema/schema.js';

const ask = async (qmp: Vmm['qmp']): Promise<Schema> => new Schema(await qmp.executeAny('query-qmp-schema') as Entity[]);

/** The one sentence of the refusal. */
async function refusal(qmp: Vmm['qmp'], command: string, args: object): Promise<string> {
  const error: unknown = await qmp.executeAny(command, args).then(() => undefined, (reason: unknown) => reason);
  assert.ok(error instanceof QmpReplyError, `${command} ${JSON.stringify(args)} was not refused`);
  return error.desc;
}

/** Takes any property of the device: QEMU's schema has only these three too, and does not look at their types. */
const OPEN = 'device_add';

/** What the schema of `mdevsim vmm` has and QEMU 10's has not. */
const OWN = [
  // Of QEMU 11, and only with --prepare-events.
  'VFIO_MIGRATION.device-state: pre-copy-p2p-prepare',
];

describe('query-qmp-schema', { timeout: 80_000 }, () => {
  it('names the commands that there are, and what each of them takes', () => Bench.with({}, async (bench) => {
    const { qmp } = await bench.vmm({ devices: [] });
    const schema = await ask(qmp);
    const commands = (await qmp.execute('query-commands')).map(({ name }) => name);
    assert.deepEqual(schema.names('command'), ['qmp_capabilities', ...commands]);
    for (const command of commands) {
      const { name: type, members = [] } = schema.args(command);
      const full = schema.sample(type) as Readonly<Record<string, unknown>>;
      // What is declared is taken: the only complaint is about what is not.
      if (command !== OPEN) assert.equal(await refusal(qmp, command, { ...full, zz: 1 }), "Parameter 'zz' is unexpected");
      for (const { name, type: of, ...rest } of members) {
        const without = Object.fromEntries(Object.entries(full).filter(([key]) => key !== name));
        if (!('default' in rest)) assert.equal(await refusal(qmp, command, without), `Parameter '${name}' is missing`);
        if (schema.get(of)['json-type'] === 'value' || command === OPEN) continue;
        const wrong = schema.get(of)['meta-type'] === 'array' ? 1 : [1];
        assert.match(await refusal(qmp, command, { ...full, [name]: wrong }), new RegExp(`'${name}'`), `${command} ${name}`);
      }
    }
  }));

  it('is what is returned, and what events tell', () => Bench.with({}, async (bench) => {
    const { source, target } = await bench.pair(['--guest-load', '--prepare-events', 'all']);
    const schema = await ask(source.qmp);
    await quickly(source);
    await source.qmp.executeAny('stop');
    await source.qmp.executeAny('cont');
    await source.qmp.executeAny('system_reset');
    await source.qmp.execute('x-mdevsim-break', { step: 'switchover' });
    const check = async ({ qmp }: Vmm): Promise<void> => {
      for (const [command, args] of [
        ...schema.names('command').filter((name) => /query/.test(name)).map((name) => [name, undefined] as const),
        ['qom-list', { path: '/machine/peripheral/vf0' }], ['qom-get', { path: '/machine/peripheral/vf0', property: 'type' }],
        ['device-list-properties', { typename: 'vfio-pci' }],
      ] as const) {
        const returned = await qmp.executeAny(command, args);
        assert.deepEqual(schema.problems(returned, schema.get(command)['ret-type'] ?? '', command), []);
      }
    };
    await source.qmp.execute('migrate', { uri: target.uri });
    await source.held('switchover');
    for (const vmm of [source, target]) await check(vmm);
    assert.deepEqual(schema.problems(await source.qmp.execute('x-mdevsim-guest-load'),
      schema.get('x-mdevsim-guest-load')['ret-type'] ?? ''), []);
    await source.qmp.execute('x-mdevsim-continue', {});
    await source.migrated();
    for (const vmm of [source, target]) await check(vmm);
    await target.qmp.execute('device_del', { id: 'vf0' });
    for (const vmm of [source, target]) {
      await vmm.end();
      for (const { event, data } of vmm.qmp.events) {
        assert.deepEqual(schema.problems(data, schema.get(event)['arg-type'] ?? '', event), []);
      }
    }
    const told = new Set([source, target].flatMap(({ qmp }) => qmp.events.map(({ event }) => event)));
    assert.deepEqual(schema.names('event').filter((event) => !told.has(event)), ['POWERDOWN']);
  }));

  it('says the same as QEMU of what both have', { skip: whyNoQemu() ?? false }, () => Bench.with({}, async (bench) => {
    const scratch = mkdtempSync(join(tmpdir(), 'mdevsim-schema-'));
    const socket = join(scratch, 'qmp');
    const qemu = spawn(QEMU, ['-M', 'none', '-display', 'none', '-nodefaults', '-qmp', `unix:${socket},server=on,wait=off`]);
    try {
      const monitor = await connectMonitor(socket, { get running() { return qemu.exitCode === null; }, output: '' });
      const [theirs, ours] = [await ask(monitor), await ask((await bench.vmm({ devices: [] })).qmp)];
      const differences: string[] = [];
      for (const name of [...ours.names('command'), ...ours.names('event')]) {
        const [own, other] = [ours.get(name), theirs.find(name)];
        if (other === undefined) {
          assert.match(name, /^x-(query-)?mdevsim-|^X_MDEVSIM_|^VFIO_MIGRATION_PREPARE$/, `QEMU has no ${name}`);
          continue;
        }
        for (const kind of ['arg-type', 'ret-type'] as const) {
          if (own[kind] === undefined) continue;
          differences.push(...ours.against(theirs, own[kind], other[kind] ?? '', name));
          if (kind === 'ret-type') continue;
          // What QEMU cannot do without, a client of both gives to both.
          const mine = ours.get(own[kind]).members ?? [];
          const needed = (theirs.get(other[kind] ?? '').members ?? []).filter((member) => !('default' in member));
          differences.push(...needed.filter((member) => !mine.some((one) => one.name === member.name)).map((member) =>
            `${name}.${member.name}: only there`));
        }
      }
      assert.deepEqual(differences, OWN);
      monitor.close();
    } finally {
      qemu.kill('SIGKILL');
      rmSync(scratch, { recursive: true, force: true });
    }
  }));
});
