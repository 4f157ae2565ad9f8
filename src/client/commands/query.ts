/** Commands that ask. */
import type { CommandContext, CommandTable } from './context.js';

export const VERSION = { qemu: { micro: 2, minor: 0, major: 10 }, package: 'mdevsim' } as const;

export function queryCommands({ vm, steps }: CommandContext, names: () => readonly string[]): CommandTable {
  return {
    'query-version': { run: () => ({ qemu: { ...VERSION.qemu }, package: VERSION.package }) },
    'query-commands': { run: () => names().map((name) => ({ name })) },
    'query-status': { run: () => ({ status: vm.state, running: vm.running }) },
    'query-name': { run: () => (vm.name === undefined ? {} : { name: vm.name }) },
    'query-uuid': { run: () => ({ UUID: '00000000-0000-0000-0000-000000000000' }) },
    'query-kvm': { run: () => ({ enabled: false, present: false }) },
    'query-block': { run: () => [] },
    'x-query-mdevsim-steps': { immediate: true, run: () => ({ breaks: [...steps.breaks], held: [...steps.held] }) },
  };
}
