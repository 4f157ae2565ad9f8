/** All commands of the VMM. */
import type { QmpCommands } from '../qmp/dispatch.js';
import type { CommandContext } from './context.js';
import { controlCommands } from './control.js';
import { descriptorCommands } from './descriptor.js';
import { deviceCommands } from './device.js';
import { memoryCommands } from './memory.js';
import { migrationCommands } from './migration.js';
import { qomCommands } from './qom.js';
import { queryCommands } from './query.js';

export function createCommands(context: CommandContext): QmpCommands {
  const commands: QmpCommands = new Map([
    queryCommands(context, () => commands), descriptorCommands(), controlCommands(context), migrationCommands(context),
    deviceCommands(context), qomCommands(context), memoryCommands(context),
  ].flatMap((table) => Object.entries(table)));
  return commands;
}
