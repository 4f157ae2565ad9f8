/** Commands that ask. */
import type { QmpCommands } from '../qmp/dispatch.js';
import { introspect, SCHEMA_INFO } from '../qmp/introspect.js';
import { NEGOTIATION } from '../qmp/server.js';
import type { CommandContext, CommandTable } from './context.js';
import { EVENTS, STATUS_INFO, STEPS_INFO, VERSION_INFO } from './types.js';

export const VERSION = { qemu: { micro: 2, minor: 0, major: 10 }, package: 'mdevsim' } as const;

/** `all`: every command there is. */
export function queryCommands({ vm, steps }: CommandContext, all: () => QmpCommands): CommandTable {
  return {
    'query-version': { returns: VERSION_INFO, run: () => ({ qemu: { ...VERSION.qemu }, package: VERSION.package }) },
    'query-commands': {
      returns: { list: { struct: { name: 'str' } } }, run: () => [...all().keys()].map((name) => ({ name })),
    },
    'query-qmp-schema': { returns: SCHEMA_INFO, run: () => introspect(all(), EVENTS, NEGOTIATION) },
    'query-status': { returns: STATUS_INFO, run: () => ({ status: vm.state, running: vm.running }) },
    'query-name': { returns: { struct: { '*name': 'str' } }, run: () => (vm.name === undefined ? {} : { name: vm.name }) },
    'query-uuid': { returns: { struct: { UUID: 'str' } }, run: () => ({ UUID: '00000000-0000-0000-0000-000000000000' }) },
    'query-kvm': { returns: { struct: { enabled: 'bool', present: 'bool' } }, run: () => ({ enabled: false, present: false }) },
    'query-block': { returns: { list: { struct: {} } }, run: () => [] },
    'x-query-mdevsim-steps': {
      returns: STEPS_INFO, immediate: true, run: () => ({ breaks: [...steps.breaks], held: [...steps.held] }),
    },
  };
}
