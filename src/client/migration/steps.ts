/**
 * The named steps of a migration, and break points at them.
 *
 * A step that has a break point holds the migration just before it, until proceed(). Who holds the main loop meanwhile is up to
 * the step: `save_prepare` is part of the command `migrate`, so nothing else is dispatched; at all others the loop is free.
 */
export const SOURCE_STEPS = [
  'save_prepare', 'connect', 'setup.notifiers', 'save_setup', 'iterate', 'vm_stop', 'switchover', 'save_complete', 'complete_ram',
  'complete_devices', 'commit', 'iteration_finish', 'cleanup', 'notifiers.end',
] as const;
export const TARGET_STEPS = ['load_setup', 'load', 'load_vm_start', 'load_cleanup'] as const;
export const STEPS = [...SOURCE_STEPS, ...TARGET_STEPS] as const;
export type Step = (typeof STEPS)[number];

export class Steps {
  readonly #breaks: Set<Step>;
  readonly #log: (step: Step, held: boolean) => void;
  readonly #held = new Map<Step, () => void>();

  /** `log` hears of every step that is reached, and of every one that is held. */
  constructor(breaks: Iterable<Step>, log: (step: Step, held: boolean) => void) {
    this.#breaks = new Set(breaks);
    this.#log = log;
  }

  get breaks(): readonly Step[] {
    return STEPS.filter((step) => this.#breaks.has(step));
  }
  get held(): readonly Step[] {
    return STEPS.filter((step) => this.#held.has(step));
  }

  set(step: Step, on: boolean): void {
    if (on) this.#breaks.add(step);
    else this.#breaks.delete(step);
  }

  /** Undefined: go on. Otherwise what to wait for first. */
  reach(step: Step): Promise<void> | undefined {
    const held = this.#breaks.has(step);
    if (!held) {
      this.#log(step, false);
      return undefined;
    }
    return new Promise((resolve) => {
      this.#held.set(step, resolve);
      this.#log(step, true);
    });
  }

  /** Lets the step go on that is held, or all of them. Returns whether there was one. */
  proceed(step?: Step): boolean {
    const steps = step === undefined ? this.held : this.held.filter((one) => one === step);
    for (const one of steps) {
      const go = this.#held.get(one);
      this.#held.delete(one);
      go?.();
    }
    return steps.length > 0;
  }
}
