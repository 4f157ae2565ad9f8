/** `mdevsim run`: this process becomes the command, in a mount namespace where the lab is part of /sys and /dev. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resetSignals } from '../sys/become.js';
import { removeEmptyDirectory } from '../sys/directory.js';
import { enterOwnNetwork } from '../sys/network.js';
import { attempt } from './errors.js';
import { labFile } from './lab-file.js';
import { LAB_VARIABLE, labElsewhere, needLab } from './labs.js';
import type { LabRequest } from './options.js';
import { applyOverlay } from './run/apply.js';
import { become, findCommand } from './run/command.js';
import { bringLab } from './run/elsewhere.js';
import { inheritedFds, passOn, stdioFlags } from './run/inherit.js';
import { letServerOpen } from './run/listener.js';
import { DEV_RULES, SYS_RULES } from './run/overlay.js';
import { enterMountNamespace, needFuse } from './run/privilege.js';
import { startServer } from './run/server.js';
import { DEFAULT_SLOTS } from './run/slot-numbers.js';
import { openSlots } from './run/slots.js';
import { showUdevd, UDEV_ENVIRONMENT } from './run/udev.js';

export interface RunRequest extends LabRequest {
  readonly lab?: string;
  /** Slots to open beforehand. Default: what the lab file says, else DEFAULT_SLOTS where the server can't do without. */
  readonly slots?: number;
}

/** Returns only by throwing. Everything after the server's start is synchronous. */
export async function run(argv: readonly string[], request: RunRequest): Promise<never> {
  const fds = inheritedFds();
  const stdio = stdioFlags();
  const file = findCommand(argv[0] ?? '');
  const mounted = request.lab === undefined ? undefined : needLab(request.lab);
  const settings = await labFile(request.config);
  const slots = request.slots ?? settings?.slots;
  if (mounted === undefined) needFuse();
  enterMountNamespace(fds, stdio);
  // A udevd that hears of the lab must not be the machine's, which would act on it.
  if ((request.uevents ?? settings?.uevents) !== undefined) attempt('a network namespace could not be made', enterOwnNetwork);
  const elsewhere = mounted === undefined ? undefined : labElsewhere(mounted);
  const lab = elsewhere === undefined ? mounted ?? await newLab(request) : bringLab(elsewhere);
  attempt('descriptors could not be prepared', () => {
    if (slots !== undefined || !letServerOpen(lab)) openSlots(lab, slots ?? DEFAULT_SLOTS);
  });
  attempt('/sys could not be laid out', () => applyOverlay(join(lab, 'sys'), '/sys', SYS_RULES));
  attempt('/dev could not be laid out', () => applyOverlay(join(lab, 'dev'), '/dev', DEV_RULES));
  attempt('/run/udev could not be laid out', () => showUdevd(lab));
  // The working directory may be below what has been covered just now.
  attempt('the working directory is gone', () => process.chdir(process.cwd()));
  passOn(fds, stdio);
  resetSignals();
  const env: NodeJS.ProcessEnv = { ...UDEV_ENVIRONMENT, ...process.env, [LAB_VARIABLE]: lab };
  delete env['MDEVSIM_USER_NAMESPACE'];
  become(file, argv, env);
}

/** A lab in a directory of its own, which its server removes at the end. */
async function newLab(request: RunRequest): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), 'mdevsim-'));
  try {
    await startServer(dir, request);
    return dir;
  } catch (error) {
    removeEmptyDirectory(dir);
    throw error;
  }
}
