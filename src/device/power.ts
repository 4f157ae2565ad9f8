/**
 * The `power` directory of a device, as Debian's kernel shows it (CONFIG_PM_ADVANCED_DEBUG). None of the lab's devices
 * manages its power, so only `control` and `async` can change. Source: drivers/base/power/sysfs.c.
 */
import { Errno } from '../abi/errno.js';
import { ro, rw } from '../sysfs/attribute.js';
import { attribute, Layout } from './layout.js';
import { cString } from './kstrtox.js';

/** What may change; a device makes one at the first write. */
export interface PowerState {
  /** power/control: runtime power management allowed. */
  auto: boolean;
  /** power/async */
  async: boolean;
}

export interface PowerOwner {
  power: PowerState | undefined;
}

export const POWER_DEFAULT: Readonly<PowerState> = { auto: true, async: false };

function change(owner: PowerOwner, changes: Partial<PowerState>): void {
  owner.power = { ...POWER_DEFAULT, ...owner.power, ...changes };
}

/** sysfs_streq() with one of the words. */
function word<T>(data: Uint8Array, words: Record<string, T>): T {
  const value = words[cString(data).replace(/\n$/, '')];
  if (value === undefined) throw new Errno('EINVAL');
  return value;
}

export const POWER = new Layout<PowerOwner>([
  attribute(rw('control', ({ power }) => ((power ?? POWER_DEFAULT).auto ? 'auto\n' : 'on\n'),
    (owner, data) => change(owner, { auto: word(data, { auto: true, on: false }) }))),
  attribute(rw('async', ({ power }) => ((power ?? POWER_DEFAULT).async ? 'enabled\n' : 'disabled\n'),
    (owner, data) => change(owner, { async: word(data, { enabled: true, disabled: false }) }))),
  attribute(rw('autosuspend_delay_ms', () => { throw new Errno('EIO'); }, () => { throw new Errno('EIO'); })),
  attribute(ro('runtime_active_kids', () => '0\n')),
  attribute(ro('runtime_active_time', () => '0\n')),
  attribute(ro('runtime_enabled', () => 'disabled\n')),
  attribute(ro('runtime_status', () => 'unsupported\n')),
  attribute(ro('runtime_suspended_time', () => '0\n')),
  attribute(ro('runtime_usage', () => '0\n')),
]);
