/**
 * Who is told of uevents: whoever listens to the kernel, as a udevd does; and, for `udev`, also who listens to udevd, as udev's libraries
 * do by default. That is for where none runs.
 */
export const UEVENT_AUDIENCES = ['kernel', 'udev'] as const;
export type UeventAudience = (typeof UEVENT_AUDIENCES)[number];
