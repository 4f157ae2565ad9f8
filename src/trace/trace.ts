/**
 * Trace events and where they go. Everything may import this module; it imports nothing of the project but its catalogue.
 *
 * Nothing listens by default except the log: warnings and errors go to stderr, one line each. Where building the fields
 * costs something, ask `tracing(category)` first.
 */
import { CATEGORIES, EVENTS } from './events.js';
import type { Category, EventFields, EventName, TraceLevel, TraceValue } from './events.js';
import { logStderr } from './stdio.js';

export type { Category, EventFields, EventName, TraceLevel } from './events.js';
export { CATEGORIES } from './events.js';

export interface TraceEvent {
  readonly name: EventName;
  readonly level: TraceLevel;
  readonly fields: Readonly<Record<string, TraceValue>>;
}

export type TraceSink = (event: TraceEvent) => void;

interface Subscription {
  readonly sink: TraceSink;
  readonly categories: ReadonlySet<string> | undefined;
}

let subscriptions: readonly Subscription[] = [];
let wanted: ReadonlySet<string> = new Set();
let wantsAll = false;
let logSink: TraceSink | undefined = (event) => logStderr(`mdevsim: ${event.level}: ${formatMessage(event)}\n`);

function refresh(): void {
  wantsAll = subscriptions.some((subscription) => subscription.categories === undefined);
  wanted = new Set(subscriptions.flatMap((subscription) => [...(subscription.categories ?? [])]));
}

function categoryOf(name: string): string {
  return name.slice(0, name.indexOf('.'));
}

/** Whether an event of that category would reach anybody. */
export function tracing(category: Category): boolean {
  return wantsAll || wanted.has(category);
}

/** Reports an event. Costs one test when nobody listens. A sink that throws is not the caller's problem. */
export function trace<E extends EventName>(name: E, fields: EventFields<E>): void {
  const level = EVENTS[name].level;
  if (level === 'debug' && subscriptions.length === 0) return;
  const event: TraceEvent = { name, level, fields: fields as Record<string, TraceValue> };
  const category = categoryOf(name);
  let seen = false;
  for (const { sink, categories } of subscriptions) {
    if (categories !== undefined && !categories.has(category)) continue;
    seen = true;
    try { sink(event); } catch { /* A broken sink must not break the operation that is being traced. */ }
  }
  if (!seen && level !== 'debug') logSink?.(event);
}

/**
 * Runs an operation and reports how it ended: `ok`, the result where that is a number, or the error's code. For operations
 * that are traced as a whole; ask tracing() first.
 */
export function traced<T>(operation: () => T | Promise<T>, report: (result: string) => void): T | Promise<T> {
  const failed = (error: unknown): never => {
    report(error instanceof Error ? ((error as { readonly code?: string }).code ?? error.message) : String(error));
    throw error;
  };
  const ended = (value: T): T => {
    report(typeof value === 'number' ? String(value) : 'ok');
    return value;
  };
  let result: T | Promise<T>;
  try {
    result = operation();
  } catch (error) {
    return failed(error);
  }
  return result instanceof Promise ? result.then(ended, failed) : ended(result);
}

/** One line on stderr (unless a sink takes the category `log`). */
export function warn(message: string): void {
  trace('log.warning', { message });
}

/** A defect: an exception that nobody expected. `context` says what was being done. */
export function logError(context: string, error: unknown): void {
  trace('log.error', { message: context, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}

/** Subscribes to the given categories, or to all. Returns the function that ends it. */
export function onTrace(sink: TraceSink, categories?: Iterable<Category>): () => void {
  const subscription = { sink, categories: categories === undefined ? undefined : new Set<string>(categories) };
  subscriptions = [...subscriptions, subscription];
  refresh();
  return () => {
    subscriptions = subscriptions.filter((other) => other !== subscription);
    refresh();
  };
}

/** Replaces what prints warnings and errors (tests fail on them); returns the former one. */
export function setLogSink(sink: TraceSink | undefined): TraceSink | undefined {
  const former = logSink;
  logSink = sink;
  return former;
}

/** `a,b` as `--trace` and MDEVSIM_TRACE take it; `all` stands for every category. Throws an Error that names a wrong one. */
export function parseCategories(text: string): Category[] {
  const names = text.split(',').map((name) => name.trim()).filter((name) => name !== '');
  if (names.includes('all')) return [...CATEGORIES];
  const unknown = names.find((name) => !(CATEGORIES as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`unknown trace category '${unknown}'; there are: all, ${CATEGORIES.join(', ')}`);
  return names as Category[];
}

function formatValue(value: TraceValue): string {
  if (typeof value !== 'string') return String(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}

function formatMessage(event: TraceEvent): string {
  const { message, error } = event.fields;
  const text = String(message ?? event.name);
  return error === undefined ? text : `${text}: ${String(error)}`;
}

/** `mdev.create uuid=... type=mtty-1`, one line. */
export function formatEvent(event: TraceEvent): string {
  const fields = Object.entries(event.fields).filter(([, value]) => value !== undefined);
  return [event.name as string, ...fields.map(([key, value]) => `${key}=${formatValue(value)}`)].join(' ');
}

/** A sink that writes lines with the time since `start` in milliseconds. */
export function lineSink(write: (line: string) => void, start = performance.now()): TraceSink {
  return (event) => write(`${(performance.now() - start).toFixed(3).padStart(12)} ${formatEvent(event)}\n`);
}
