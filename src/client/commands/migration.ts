/** Commands of migration. Source: QEMU's qapi/migration.json, migration/migration.c. */
import { parseChannel, parseUri } from '../migration/address.js';
import type { MigrationAddress } from '../migration/address.js';
import type { Capability } from '../migration/capabilities.js';
import { PARAMETER_MEMBERS, PARAMETER_VALUES } from '../migration/parameters.js';
import { MIGRATION_STATUSES } from '../migration/state.js';
import type { MigrationStatus } from '../migration/state.js';
import type { QmpArguments } from '../qmp/dispatch.js';
import { QmpError } from '../qmp/error.js';
import type { Json } from '../qmp/json-parser.js';
import type { QmpMembers } from '../qmp/schema.js';
import type { CommandContext, CommandTable } from './context.js';
import { CAPABILITY_STATUS, MIGRATION_ADDRESS, MIGRATION_INFO, THREADS_INFO } from './types.js';

const CHANNELS: QmpMembers = {
  '*channels': { list: { struct: { 'channel-type': { enum: ['main'] }, 'addr': MIGRATION_ADDRESS } } },
};

/** Throws QmpError; with `tooMany` where there is more than one channel. */
function addressOf({ uri, channels }: QmpArguments, tooMany: string): MigrationAddress {
  const list = Array.isArray(channels) ? channels : [];
  if (typeof uri === 'string' && list.length === 0) return parseUri(uri);
  if (uri !== undefined || list.length === 0) throw new QmpError("need either 'uri' or 'channels' argument");
  if (list.length > 1) throw new QmpError(tooMany);
  return parseChannel(list[0] ?? null);
}

export function migrationCommands({ outgoing, incoming, capabilities, parameters }: CommandContext): CommandTable {
  return {
    'migrate': {
      arguments: { '*uri': 'str', ...CHANNELS, '*detach': 'bool', '*resume': 'bool' },
      run: async (args, { descriptors }) => {
        const address = addressOf(args, 'Channel list has more than one main entry');
        if (args['resume'] === true) throw new QmpError('Cannot resume if there is no paused migration');
        await outgoing.migrate(address, descriptors);
        return {};
      },
    },
    'migrate-incoming': {
      arguments: { '*uri': 'str', ...CHANNELS, '*exit-on-error': 'bool' },
      run: async (args, { descriptors }) => {
        const parse = (): MigrationAddress => {
          const address = addressOf(args, "Channel list must have only one entry, for type 'main'");
          // An address that could not be listened on was the only one: QEMU takes no second.
          if (!incoming.state.is('none')) throw new QmpError(`Illegal migration incoming state: ${incoming.state.status}`);
          return address;
        };
        await incoming.listen(parse, args['exit-on-error'] !== false, descriptors);
        return {};
      },
    },
    'migrate_cancel': {
      run: () => {
        outgoing.cancel();
        return {};
      },
    },
    'migrate-continue': {
      arguments: { state: { enum: MIGRATION_STATUSES } },
      run: ({ state }) => {
        outgoing.proceed(state as MigrationStatus);
        return {};
      },
    },
    'migrate-pause': {
      allowOob: true,
      run: () => {
        throw new QmpError('migrate-pause is currently only supported during postcopy-active or postcopy-recover state');
      },
    },
    'migrate-recover': {
      arguments: { uri: 'str' },
      allowOob: true,
      run: () => { throw new QmpError('Migrate recover can only be run when postcopy is paused.'); },
    },
    'migrate-start-postcopy': {
      run: () => {
        if (!capabilities.has('postcopy-ram')) {
          throw new QmpError('Enable postcopy with migrate_set_capability before the start of migration');
        }
        if (outgoing.state.status === 'none') throw new QmpError('Postcopy must be started after migration has been started');
        throw new QmpError('There is no postcopy here: migrations go on as pre-copy');
      },
    },
    // One thread does everything.
    'query-migrationthreads': {
      returns: THREADS_INFO,
      run: () => (outgoing.state.running ? [{ 'name': 'mig/src/main', 'thread-id': process.pid }] : []),
    },
    'query-migrate': { returns: MIGRATION_INFO, run: () => ({ ...incoming.info(), ...outgoing.info() }) },
    'migrate-set-capabilities': {
      arguments: { capabilities: CAPABILITY_STATUS },
      run: ({ capabilities: changes }) => {
        if (outgoing.state.running) throw new QmpError("There's a migration process in progress");
        capabilities.set(changes as unknown as { capability: Capability; state: boolean }[]);
        return {};
      },
    },
    'query-migrate-capabilities': { returns: CAPABILITY_STATUS, run: () => capabilities.list() },
    'migrate-set-parameters': {
      arguments: PARAMETER_MEMBERS,
      run: (changes) => {
        parameters.set(changes);
        return {};
      },
    },
    'query-migrate-parameters': { returns: { struct: PARAMETER_VALUES }, run: (): Json => parameters.list() },
  };
}
