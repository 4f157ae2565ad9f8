/** The command line. Actions are imported when they run: starting must be fast, and `run` must not open anything early. */
import { Command, CommanderError } from 'commander';
import { DEFAULT_KERNEL } from '../abi/kernel-profile.js';
import type { KernelVersion } from '../abi/kernel-profile.js';
import { BLOCKER_POLICY_NAMES } from '../blocker/policy.js';
import type { BlockerPolicyName } from '../blocker/policy.js';
import type { UeventAudience } from '../uevents/audience.js';
import { writeStderr, writeStdout } from '../trace/stdio.js';
import { usage } from './errors.js';
import { many, value } from './option-value.js';
import type { DriverRequest, LabRequest, MdevRequest } from './options.js';
import { KERNELS, parseDriver, parseKernel, parseMdev, parseOwner, parsePolicy, parseSlots, parseUevents } from './options.js';
import { DEFAULT_SLOTS } from './run/slot-numbers.js';
import { declareVmm } from './vmm-command.js';

/** Options as commander collects them. */
interface LabOptions {
  config?: string;
  driver?: DriverRequest[];
  mdev?: MdevRequest[];
  blocker?: BlockerPolicyName;
  kernel?: KernelVersion;
  trace?: string;
  xattrs?: boolean;
  uevents?: UeventAudience;
}

function labOptions(command: Command): Command {
  return command
    .option('--config <file>',
      'make the lab that this file describes (docs/lab-file.md); --mdev adds to it, other options overrule it')
    .option(
      '--driver <name[=parents][,KEY=VALUE...]>',
      'load a driver, or a module such as ./my-driver.js, with that many parent devices; features=stop-copy+p2p+pre-copy or less '
        + 'is what its devices can do in a migration, other keys are its own (default: mtty=1; repeatable)', many(parseDriver),
    )
    .option('--mdev <type[,uuid=UUID][,parent=PARENT]>', 'create an mdev (repeatable)', many(parseMdev))
    .option('--blocker <policy>', `when migration_block is refused: ${BLOCKER_POLICY_NAMES.join(', ')} (default: track)`, value(parsePolicy))
    .option('--kernel <version>', `behave as this kernel where kernels differ: ${KERNELS.join(', ')} (default: ${DEFAULT_KERNEL})`,
      value(parseKernel))
    .option('--trace <categories>', 'print trace events on stderr: all, or names with commas between (also MDEVSIM_TRACE)')
    .option('--xattrs', 'files can have extended attributes, as in the kernel; makes each "echo >" one request longer')
    .option('--uevents <audience>', 'send uevents: "kernel", as the kernel does, to a udevd for one; "udev", also as udevd passes them on, to '
      + 'libvirt for one, where no udevd runs; run does it in a network namespace of its own, mount in this one', value(parseUevents));
}

function labRequest(options: LabOptions): LabRequest {
  const { config, driver } = options;
  if (config === undefined) return { ...chosen(options), driver: driver ?? [{ name: 'mtty', parents: 1 }] };
  if (driver !== undefined) {
    throw usage('--driver cannot be combined with --config: name the drivers in the file');
  }
  return { ...chosen(options), config };
}

const chosen = ({ mdev, blocker, kernel, trace, xattrs, uevents }: LabOptions): LabRequest => ({
  driver: [], mdev: mdev ?? [],
  ...(blocker === undefined ? {} : { blocker }), ...(kernel === undefined ? {} : { kernel }),
  ...(trace === undefined ? {} : { trace }),
  ...(xattrs === undefined ? {} : { xattrs }), ...(uevents === undefined ? {} : { uevents }),
});

export function createProgram(version: string): Command {
  const program = new Command('mdevsim')
    .description('A fake Linux mediated-device (mdev/VFIO) machine in user space.')
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: writeStdout, writeErr: writeStderr, outputError: (text, write) => write(text.replace(/^error: /, 'mdevsim: ')),
    })
    .addHelpText('after', "\nExample:\n  mdevsim run --mdev mtty-1 -- sh -c 'ls /sys/bus/mdev/devices'")
    .addHelpText('after', '\nEvery command has its own --help.');

  labOptions(program.command('mount'))
    .description('Serve a lab in the foreground; prints "ready <dir>" when it can be used. SIGINT and SIGTERM unmount it.')
    .argument('<dir>', 'an empty directory; the lab has sys/ and dev/ there')
    .option('--json', 'instead of "ready <dir>", one line of JSON with the paths and the devices')
    .option('--for <pid>', 'end when that process ends, and remove the directory', value(parseOwner))
    .addHelpText('after', '\nExample:\n  mdevsim mount /tmp/lab --driver mtty=2 --mdev mtty-1,parent=mtty1 --mdev mtty-2')
    .action(async (dir: string, options: LabOptions & { json?: boolean; for?: number }) => {
      const { serve } = await import('./mount.js');
      const owner = options.for === undefined ? {} : { owner: options.for };
      await serve(dir, { ...labRequest(options), json: options.json === true, ...owner });
    });

  labOptions(program.command('run'))
    .description('Run an unmodified program on a machine that has the lab in its /sys and /dev.')
    .usage('[--lab DIR | options] -- COMMAND [ARGS...]')
    .argument('<command...>', 'the program and its arguments')
    .option('--lab <dir>', 'use a lab that is mounted there (or in another container: /proc/PID/root/DIR), instead of a new one '
      + 'that ends with the command')
    .option('--slots <n>',
      'give the program that many open files beforehand, which the lab then hands out as VFIO devices and data streams; by default '
      + `it opens them when they are asked for, or, where the machine does not allow that, has ${DEFAULT_SLOTS}`,
      value(parseSlots))
    .passThroughOptions()
    .addHelpText('after', "\nExample:\n  mdevsim run --mdev mtty-1,uuid=$(uuidgen) -- bash")
    .action(async (argv: string[], options: LabOptions & { lab?: string; slots?: number }, command: Command) => {
      const ofNewLabs = ['config', 'driver', 'mdev', 'blocker', 'kernel', 'trace', 'xattrs', 'uevents'] as const;
      const given = ofNewLabs.find((name) => command.getOptionValueSource(name) === 'cli');
      if (options.lab !== undefined && given !== undefined) {
        throw usage(`--${given} is for a new lab; it cannot be combined with --lab`);
      }
      const { run } = await import('./run.js');
      const lab = options.lab === undefined ? {} : { lab: options.lab };
      const slots = options.slots === undefined ? {} : { slots: options.slots };
      await run(argv, { ...labRequest(options), ...slots, ...lab });
    });

  program.command('list')
    .description('List the devices of all labs that are mounted here.')
    .option('--lab <dir>', 'only this lab')
    .option('--json', 'as JSON')
    .option('--as-config', 'as a lab file, from which mount --config makes the same lab again')
    .addHelpText('after', '\nExample:\n  mdevsim list --json')
    .action(async (options: { lab?: string; json?: boolean; asConfig?: boolean }) => {
      if (options.asConfig === true) (await import('./list-config.js')).listAsConfig(options);
      else (await import('./list.js')).list(options);
    });

  program.command('umount')
    .description('Unmount a lab, also one whose server has died.')
    .argument('<dir>')
    .addHelpText('after', '\nExample:\n  mdevsim umount /tmp/lab')
    .action(async (dir: string) => (await import('./umount.js')).unmountLab(dir));

  declareVmm(program);

  for (const command of program.commands) command.exitOverride().configureOutput(program.configureOutput());
  return program;
}

export { CommanderError };
