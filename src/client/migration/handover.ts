/**
 * The source's last step: it gives the machine away. Whatever goes wrong before `commit` leaves the machine here; where all of
 * `commit` was sent, the connection is lost and nothing comes back, a token that both have decides. Without one (the connection can't
 * pass descriptors) it is not known who has the machine. docs/protocol.md, "Who has the machine".
 */
import type { Channel } from './channel.js';
import { MachineToken } from './machine-token.js';
import type { ReturnPath } from './return-path.js';
import type { StreamWriter } from './stream-writer.js';

/** Who has the machine after a handover that was not answered. */
const OWNER_TEXT = {
  source: 'the virtual machine stays here',
  destination: 'the destination has taken the virtual machine over',
  unknown: 'the virtual machine may run on the destination',
} as const;

/** It was taken back, as reclaim() asked. */
export class Reclaimed extends Error {}

export class Handover {
  /** For the case that the last words are lost. */
  #token: MachineToken | undefined;
  #taken = false;
  #committed = false;
  #given = false;
  #reclaimed = false;

  /** `commit` is being sent, or was: from then on only the receiver's answer, or the token, says who has the machine. */
  get committed(): boolean {
    return this.#committed;
  }
  /** The receiver may have the machine. */
  get given(): boolean {
    return this.#given;
  }

  /** What goes along with the stream's first bytes. Throws EMFILE. */
  descriptors(channel: Channel): readonly number[] {
    if (!channel.passesDescriptors) return [];
    this.#token = MachineToken.create();
    return [this.#token.fd];
  }

  /** Somebody wants the machine back and has cut the connection: no loss of it is an accident any more. */
  reclaim(): void {
    this.#reclaimed = true;
  }

  /**
   * Settles when the receiver has the machine; `log` hears where it had to be found out. Rejects where the source has it: with
   * Reclaimed, or with why; and where nobody knows.
   */
  async commit(writer: StreamWriter, answers: ReturnPath, log: (message: string) => void): Promise<void> {
    this.#committed = true;
    // A receiver that is known to be gone gets nothing; and a part of a record gives nothing away.
    if (answers.lost !== undefined) throw answers.lost;
    answers.committed = true;
    await writer.record('commit');
    this.#given = true;
    try {
      await answers.started;
      if (answers.hasToken && this.#hasTaken()) throw new Error('The destination has not started what it says it has');
    } catch (error) {
      const owner = this.#owner(answers);
      this.#given = owner !== 'source';
      if (answers.refusal !== undefined) throw error;
      if (this.#reclaimed && owner === 'source') throw new Reclaimed();
      const why = error instanceof Error ? error.message : String(error);
      const message = `The connection was lost in the handover, ${OWNER_TEXT[owner]}: ${why}`;
      if (owner !== 'destination') throw new Error(message, { cause: error });
      log(message);
    }
  }

  close(): void {
    this.#token?.close();
  }

  /** Who has the machine, when the receiver has refused, or nothing more will come from it. */
  #owner({ refusal, hasToken }: ReturnPath): keyof typeof OWNER_TEXT {
    if (refusal !== undefined) return 'source';
    if (!hasToken) return 'unknown';
    return this.#hasTaken() ? 'source' : 'destination';
  }

  /** Takes the machine back, where the token allows it. */
  #hasTaken(): boolean {
    return (this.#taken ||= this.#token?.take() ?? false);
  }
}
