/** Where a lab says how it was made (settings-file.ts), below its mount. */
export const SETTINGS_FILE = 'sys/kernel/debug/mdevsim/lab';
