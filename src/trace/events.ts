/**
 * The catalogue of trace events: every event that the lab can report is declared here once, with the type of its fields.
 * The part of a name before the dot is its category, which is what `--trace` and MDEVSIM_TRACE choose.
 *
 * To add one: a row here, then `trace('category.name', { ... })` where it happens.
 */
export type TraceValue = string | number | bigint | boolean | undefined;

/** `warning` and `error` are also printed on stderr when nobody asked for their category. */
export type TraceLevel = 'debug' | 'warning' | 'error';

export interface EventDeclaration<F> {
  readonly level: TraceLevel;
  readonly help: string;
  /** Only for the type checker; never set. */
  readonly fields?: F;
}

function event<F extends Record<string, TraceValue>>(help: string, level: TraceLevel = 'debug'): EventDeclaration<F> {
  return { level, help };
}

export const EVENTS = {
  /* The FUSE session. */
  'fuse.init': event<{ major: number; minor: number; flags: bigint }>('protocol agreed with the kernel'),
  'fuse.request': event<{ opcode: string; unique: bigint; nodeid: bigint; tid: number }>('a request arrived'),
  'fuse.reply': event<{ unique: bigint; error: string | undefined; length: number }>('a request was answered'),
  'fuse.interrupt': event<{ unique: bigint }>('the caller of a request was interrupted'),
  'fuse.notify': event<{ code: string; nodeid: bigint; name: string | undefined }>('a notice was sent to the kernel'),
  'fuse.end': event<{ reason: string }>('the session ended'),
  /* Files that the server opens in its clients. */
  'slot.bind': event<{ slot: string; pid: number; fd: number; file: string }>('a file was given to a client'),
  'slot.unbind': event<{ slot: string; pid: number; fd: number; file: string }>('a client closed a file it was given'),
  'slot.listener': event<{ pid: number }>('a client lets the server answer the ioctls that hand out descriptors'),
  'slot.none': event<{ pid: number; file: string }>('a client has no free slot: it gets EMFILE'),
  /* sysfs. */
  'sysfs.show': event<{ path: string; tid: number; result: string }>('an attribute was read'),
  'sysfs.store': event<{ path: string; tid: number; data: string; result: string }>('an attribute was written'),
  /* Driver core. */
  'device.uevent': event<{ action: string; path: string }>('a uevent'),
  'device.klog': event<{ device: string; message: string }>('a line of the kernel log'),
  /* mdev core. */
  'mdev.create': event<{ uuid: string; type: string; parent: string }>('an mdev was created'),
  'mdev.remove': event<{ uuid: string; waited: boolean }>('an mdev is gone'),
  /* VFIO. */
  'vfio.ioctl': event<{ file: string; command: string; pid: number; result: string }>('an ioctl on a VFIO or iommufd file'),
  'vfio.io': event<{ file: string; operation: string; pid: number; offset: number; size: number; result: string }>(
    'a read or write of a VFIO device or its data file'),
  'vfio.open': event<{ device: string }>('a device was opened'),
  'vfio.close': event<{ device: string }>('the last file of a device was closed'),
  /* Migration. */
  'migration.state': event<{ device: string; from: string; to: string; reset: boolean }>('a step from one state to the next'),
  'migration.size': event<{ device: string }>('MIG_DATA_SIZE was asked'),
  'migration.data': event<{ device: string; direction: string; bytes: number; position: number }>(
    'device state moves through a data file'),
  /* Blocker. */
  'blocker.set': event<{ device: string; blocked: boolean; policy: string; result: string }>(
    'migration_block was changed, or the change refused'),
  /* Anything that the operator should know. */
  'log.warning': event<{ message: string }>('something the operator should know', 'warning'),
  'log.error': event<{ message: string; error?: string }>('a defect of the lab: a handler threw something unexpected', 'error'),
} as const;

export type EventName = keyof typeof EVENTS;
export type EventFields<E extends EventName> = (typeof EVENTS)[E] extends EventDeclaration<infer F> ? F : never;
export type Category = EventName extends infer N ? (N extends `${infer C}.${string}` ? C : never) : never;

/** All categories, in the order of the catalogue. */
export const CATEGORIES: readonly Category[] = [
  ...new Set(Object.keys(EVENTS).map((name) => name.slice(0, name.indexOf('.')) as Category)),
];
