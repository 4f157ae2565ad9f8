/** Commands that start, stop and end the machine. Source: QEMU's monitor/qmp-cmds.c: qmp_stop(), qmp_cont(). */
import { STEPS } from '../migration/steps.js';
import type { Step } from '../migration/steps.js';
import { QmpError } from '../qmp/error.js';
import type { CommandContext, CommandTable } from './context.js';
import { text } from './context.js';
import { GUEST_LOAD_INFO } from './types.js';

export function controlCommands({ vm, devices, steps, start, load, quit }: CommandContext): CommandTable {
  return {
    'stop': {
      run: () => {
        if (vm.state === 'inmigrate') start.auto = false;
        else if (vm.live) vm.stop('paused');
        return {};
      },
    },
    'cont': {
      run: () => {
        if (vm.state === 'finish-migrate') throw new QmpError('Migration is not finalized yet');
        if (vm.state === 'inmigrate') start.auto = true;
        else vm.start();
        return {};
      },
    },
    'system_reset': {
      run: () => {
        devices.reset();
        vm.environment.event('RESET', { guest: false, reason: 'host-qmp-system-reset' });
        return {};
      },
    },
    'system_powerdown': {
      run: () => {
        vm.environment.event('POWERDOWN');
        return {};
      },
    },
    'quit': {
      run: () => {
        vm.environment.event('SHUTDOWN', { guest: false, reason: 'host-qmp-quit' });
        quit();
        return {};
      },
    },
    'x-mdevsim-guest-load': {
      returns: GUEST_LOAD_INFO,
      run: () => {
        if (load === undefined) throw new QmpError('There is no guest load: start with --guest-load');
        return { ...load.report };
      },
    },
    'x-mdevsim-break': {
      arguments: { 'step': { enum: STEPS }, '*enable': 'bool' },
      immediate: true,
      run: ({ step, enable }) => {
        steps.set(step as Step, enable !== false);
        return {};
      },
    },
    'x-mdevsim-continue': {
      arguments: { '*step': { enum: STEPS } },
      immediate: true,
      run: ({ step }) => {
        if (!steps.proceed(step as Step | undefined)) {
          throw new QmpError(step === undefined ? 'Nothing is held' : `Step '${text(step)}' is not held`);
        }
        return {};
      },
    },
  };
}
