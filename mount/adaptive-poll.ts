/**
 * AdaptivePoll: whether to keep asking for the next request after one was answered, instead of going to sleep at once. Waking a
 * sleeping CPU costs far more than an answer; but asking takes the CPU away from a client that shares it.
 *
 * It learns as KVM's halt polling does (virt/kvm/kvm_main.c: kvm_vcpu_block()): a window in which the request came was worth
 * it. One that was wasted is judged by what followed: a request that came as soon as we slept means that we were in the
 * client's way, and the next attempts are put off for longer and longer; one that came much later just means that nobody
 * was busy. Times are in microseconds.
 */
export interface AdaptivePollOptions {
  /** Longest time to keep asking after a request; 0 switches it off. Default 100. */
  readonly window?: number;
  /** CPUs of the machine; with one it is off. (A server pinned to one CPU may still have its clients on another.) */
  readonly cpus?: number;
}

/** Wasted windows, weighed by how bad they were, after which attempts are put off. */
const TOLERANCE = 4;
/** Most requests that are answered without an attempt. */
const LONGEST_PAUSE = 256;
/** A request this many windows after going to sleep did not wait for us. */
const UNRELATED = 3;

export class AdaptivePoll {
  /** 0 when switched off. */
  readonly window: number;
  #credit = TOLERANCE;
  #pause = 0;
  #nextPause = 1;
  #wastedAt: number | undefined = undefined;

  constructor(options: AdaptivePollOptions = {}) {
    this.window = (options.cpus ?? 2) < 2 ? 0 : (options.window ?? 100);
  }

  /** Whether woken() would learn anything. */
  get judging(): boolean {
    return this.#wastedAt !== undefined;
  }

  /** A request was read at `now` after sleeping. */
  woken(now: number): void {
    const wastedAt = this.#wastedAt;
    this.#wastedAt = undefined;
    if (wastedAt === undefined || now - wastedAt > UNRELATED * this.window) return;
    this.#credit--;
    if (this.#credit > 0) return;
    this.#pause = this.#nextPause;
    this.#nextPause = Math.min(this.#nextPause * 2, LONGEST_PAUSE);
    this.#credit = 1;
  }

  /** How long to ask now, 0 to sleep at once. Called once per request that leaves nothing else to do. */
  attempt(): number {
    if (this.window === 0) return 0;
    if (this.#pause > 0) {
      this.#pause--;
      return 0;
    }
    return this.window;
  }

  /** A request came while asking. */
  paid(): void {
    if (this.#credit < TOLERANCE) this.#credit++;
    else this.#nextPause = 1;
  }

  /** None came; we sleep from `now` on. */
  wasted(now: number): void {
    this.#wastedAt = now;
  }
}
