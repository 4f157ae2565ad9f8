/** Declares `mdevsim vmm` and `mdevsim qmp`. Kept apart from program.ts for its many options. */
import { Option } from 'commander';
import type { Command } from 'commander';
import type { VfioPciOptions } from '../client/vm/device.js';
import type { GuestLoadOptions } from '../client/vm/guest-load.js';
import { PROTOCOL_NAMES, RFC_ORDERS } from '../client/vfio/protocol.js';
import type { ProtocolName, RfcOrder } from '../client/vfio/protocol.js';
import type { PrepareEvents } from '../client/vm/vm.js';
import { PREPARE_EVENTS } from '../client/vm/vm.js';
import type { Step } from '../client/migration/steps.js';
import { STEPS } from '../client/migration/steps.js';
import { many, value } from './option-value.js';
import { parseCount, parseOwner, parseSlots } from './options.js';
import {
  GUEST_LOAD, parseDevice, parseGuestLoad, parsePrepareEvents, parseProtocol, parseQmp, parseRam, parseRfcOrder, parseStep,
} from './vmm-options.js';

/** Of --ram, where it is not given. */
const RAM = '64M';

interface Collected {
  lab?: string;
  slots?: number;
  device?: VfioPciOptions[];
  qmp?: string[];
  incoming?: string;
  ram: number;
  name?: string;
  stopped?: boolean;
  onlyMigratable?: boolean;
  notify?: boolean;
  prepareEvents: PrepareEvents;
  protocol: ProtocolName;
  rfcOrder?: RfcOrder;
  break?: Step[];
  log?: boolean;
  guestLoad?: GuestLoadOptions | true;
  for?: number;
}

export function declareVmm(program: Command): void {
  program.command('vmm')
    .description('A small VMM that behaves to drivers and management clients as QEMU does. Prints "ready" when it can be used.')
    .option('--lab <dir>', 'use the lab that is mounted there (otherwise: start this below "mdevsim run")')
    .option('--slots <n>', 'with --lab: as for mdevsim run', value(parseSlots))
    .option('--device <uuid[,id=ID][,KEY=VALUE...]>',
      'an mdev as vfio-pci or vfio-ap device, as its driver says (repeatable); addr=05.0, enable-migration=auto|on|off, '
      + 'migration-events=on, iommufd=on',
      many(parseDevice))
    .option('--qmp <unix:path>', 'QMP server (repeatable)', many(parseQmp))
    .option('--incoming <uri>', 'wait for a migration at unix:PATH, tcp:HOST:PORT, fd:N, or "defer" it to migrate-incoming')
    .addOption(new Option('--ram <size>', 'memory').argParser(value(parseRam)).default(parseRam(RAM), RAM))
    .option('--name <name>', 'for query-name')
    .option('-S, --stopped', 'do not start the virtual machine')
    .option('--only-migratable', 'refuse whatever would block migration')
    .option('--notify', 'tell drivers that have the feature when a migration starts and ends')
    .option('--prepare-events <which>', `events before transitions: ${PREPARE_EVENTS.join(', ')}`, value(parsePrepareEvents),
      'none' as const)
    .option('--protocol <name>', `how devices migrate, on both ends: ${PROTOCOL_NAMES.join(', ')}`, value(parseProtocol),
      'v2' as const)
    .option('--rfc-order <order>', `with a protocol of the RFC, how a migration is completed: ${RFC_ORDERS.join(' (default), ')}`,
      value(parseRfcOrder))
    .option('--break <step>', `hold migrations before that step, until x-mdevsim-continue (repeatable): ${STEPS.join(', ')}`,
      many(parseStep))
    .option('--guest-load [pages=N,bytes=N]', 'a guest that writes RAM pages and sends bytes through the first device, so many a second',
      value(parseGuestLoad))
    .option('--for <pid>', 'end when that process ends, and remove the sockets, and their directories if nothing else is there',
      value(parseOwner))
    .option('--log', 'say on stderr what happens')
    .addHelpText('after', '\nExample:\n  mdevsim vmm --lab /tmp/lab --device $UUID,id=vf0 --qmp unix:/tmp/a.qmp')
    .action(async ({ device = [], qmp = [], stopped, onlyMigratable, notify, break: breaks = [], log, guestLoad, for: owner, ...rest }: Collected) => {
      const { vmm } = await import('./vmm.js');
      await vmm({
        ...rest, ...(guestLoad === undefined ? {} : { guestLoad: guestLoad === true ? GUEST_LOAD : guestLoad }), devices: device, qmp,
        stopped: stopped === true, onlyMigratable: onlyMigratable === true, notify: notify === true, breaks, log: log === true,
        ...(owner === undefined ? {} : { owner }),
      });
    });

  program.command('qmp')
    .description("Send one command to a VMM's monitor and print what it returns, as JSON.")
    .argument('<socket>', 'path of its QMP socket')
    .argument('<command>')
    .argument('[arguments...]', 'JSON, or name=value ..., a value that begins with [ or { being JSON')
    .option('--until <pattern>', 'repeat the command until what it returns (JSON without blanks) matches this regular expression')
    .option('--timeout <seconds>', 'how long to wait for an answer, and with --until to repeat it',
      value((text) => parseCount(text, '--timeout', 1, 3600)), 20)
    .addHelpText('after', '\nExample:\n  mdevsim qmp /tmp/a.qmp migrate uri=unix:/tmp/migration'
      + '\n  mdevsim qmp /tmp/a.qmp migrate-set-capabilities capabilities=\'[{"capability":"events","state":true}]\''
      + '\n  mdevsim qmp --until completed /tmp/a.qmp query-migrate')
    .action(async (socket: string, name: string, words: string[], options: { until?: string; timeout: number }) => {
      const { parsePattern, qmp } = await import('./qmp.js');
      await qmp(socket, name, words, {
        timeout: options.timeout, ...(options.until === undefined ? {} : { until: parsePattern(options.until) }),
      });
    });
}
