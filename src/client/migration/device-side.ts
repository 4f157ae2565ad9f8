/** One device of a migration, as its protocol sees it: what OutgoingRun and IncomingMigration ask of every protocol. */
import type { StreamWriter } from './stream-writer.js';

/** On the source. The order of the calls is that of QEMU's SaveVMHandlers. */
export interface OutgoingDevice {
  /** save_setup. Throws VfioError. */
  setup(): void;
  /** Bytes that are left, without asking the device; and asking it. */
  readonly pendingEstimate: number;
  pendingExact(): number;
  /** While the machine runs. Rejects with Errno. */
  iterate(writer: StreamWriter): Promise<void>;
  /** When it has stopped: everything. Rejects with VfioError, Errno. */
  complete(writer: StreamWriter): Promise<void>;
  /** At the very end. */
  config(writer: StreamWriter): Promise<void>;
  /** However it has ended. */
  cleanup(): void;
}

/** On the destination. */
export interface IncomingDevice {
  /** load_setup. Throws VfioError. */
  setup(): void;
  /** One record of each kind. `payload` is valid until it returns. Throws VfioError, Errno. */
  data(payload: Uint8Array): void;
  config(payload: Uint8Array): void;
  /** Everything has come. Throws VfioError where that is not everything. */
  end?(): void;
  cleanup(): void;
}
