/** What the commands work on. */
import type { IncomingMigration } from '../migration/incoming.js';
import type { OutgoingMigration } from '../migration/outgoing.js';
import type { MigrationContext } from '../migration/outgoing-run.js';
import type { QmpCommand } from '../qmp/dispatch.js';
import type { Json } from '../qmp/json-parser.js';
import type { VfioDevices } from '../vfio/devices.js';
import type { GuestLoad } from '../vm/guest-load.js';

export interface CommandContext extends MigrationContext {
  readonly devices: VfioDevices;
  readonly outgoing: OutgoingMigration;
  readonly incoming: IncomingMigration;
  /** With --guest-load. */
  readonly load?: GuestLoad | undefined;
  /** Whether the machine starts after an incoming migration. */
  readonly start: { auto: boolean };
  /** Ends the process once the replies so far are sent. */
  readonly quit: () => void;
}

/** A family of commands, by name. */
export type CommandTable = Readonly<Record<string, QmpCommand>>;

/** An argument whose schema says that it is a string. */
export const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');
