/** What udev's libraries need to take the machine below `run` for one: libvirt's, among others. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SETTINGS_FILE } from '../../lab/settings-path.js';
import type { LabSettings } from '../../lab/settings-file.js';
import { mount } from '../../sys/mount.js';

/** They refuse a /sys that is no sysfs, unless they are told not to look (systemd's sd-device.c: device_set_syspath()). */
export const UDEV_ENVIRONMENT: NodeJS.ProcessEnv = { SYSTEMD_DEVICE_VERIFY_SYSFS: '0' };

const DIRECTORY = '/run/udev';
/** Its presence says that a udevd runs; without one, monitors do not listen (device-monitor.c: monitor_set_nl_address()). */
const CONTROL = join(DIRECTORY, 'control');

/**
 * In this thread's own mount namespace. Nothing where a udevd runs already, the lab does not say what one would, or an ordinary user
 * may not read that (debugfs is root's), or not make the directory.
 */
export function showUdevd(lab: string): void {
  try {
    const settings = JSON.parse(readFileSync(join(lab, SETTINGS_FILE), 'utf8')) as Partial<LabSettings>;
    if (settings.uevents !== 'udev' || existsSync(CONTROL)) return;
    mkdirSync(DIRECTORY, { recursive: true });
  } catch {
    return;
  }
  mount('tmpfs', DIRECTORY, 'tmpfs', 0, 'mode=755,size=1m');
  writeFileSync(CONTROL, '');
}
