/** Autostart at boot: what mdevctl's own udev rule makes of the uevents of a parent that appears, run in a lab. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { createDriver } from '../../src/drivers/index.js';
import { Machine } from '../../src/device/machine.js';
import type { Uevent } from '../../src/device/uevent.js';
import { MdevCore } from '../../src/mdev/core.js';
import { Vfio } from '../../src/vfio/registrar.js';
import { mdevsim } from '../cli/mdevsim.js';

const AUTO = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
const BLOCKED = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002';
const MANUAL = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
/** Where the rule wants mdevctl, which is /usr/bin/mdevctl in Debian. */
const RULE_PROGRAM = '/usr/sbin/mdevctl';

/** What a kernel says when mtty is loaded. */
function ueventsOfMtty(): Uevent[] {
  const machine = new Machine();
  const events: Uevent[] = [];
  machine.uevents.subscribe((event) => void events.push(event));
  new MdevCore(machine, new Vfio()).registerDriver(createDriver('mtty', {}), 1);
  return events;
}

interface Match { readonly key: string; readonly operator: string; readonly value: string }

/** The rules of a file, each with its parts. As udev(7) has them, as far as mdevctl's own use them. */
function rulesOf(path: string): Match[][] {
  const lines = readFileSync(path, 'utf8').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => [...line.matchAll(/(\w+(?:\{\w+\})?)(==|\+=)"([^"]*)"(?:, *|$)/g)].map(([, key = '', operator = '', value = '']) =>
    ({ key, operator, value })));
}

/** The commands that a rule runs for an event, and the files that must be there for it; undefined where it does not match. */
function commandsFor(rule: readonly Match[], { action, devpath, env }: Uevent): { tests: string[]; run: string[] } | undefined {
  const kernel = basename(devpath);
  const filled = (value: string): string => value.replaceAll('$kernel', kernel).replaceAll('%k', kernel);
  const variables = new Map(env.map((line) => line.split('=') as [string, string]));
  const [tests, run]: [string[], string[]] = [[], []];
  for (const { key, operator, value } of rule) {
    const variable = /^ENV\{(\w+)\}$/.exec(key)?.[1];
    if (key === 'RUN' && operator === '+=') run.push(filled(value));
    else if (key === 'TEST') tests.push(filled(value));
    else if (key === 'ACTION' ? action !== value : variable === undefined || variables.get(variable) !== value) return undefined;
  }
  return { tests, run };
}

/** Defines three devices, one of them `--manual`, then does what the rules say. */
function bootScript(program: string, rules: string): string {
  const found = ueventsOfMtty().flatMap((event) => rulesOf(rules).map((rule) => commandsFor(rule, event)))
    .filter((commands) => commands !== undefined);
  assert.ok(found.length > 0, `no rule of ${rules} matches a uevent of the parent`);
  const lines = found.map(({ tests, run }) =>
    `if ${tests.map((path) => `test -e ${path}`).join(' && ')}; then ${run.map((line) => line.replaceAll(RULE_PROGRAM, program)).join('; ')}; fi`);
  return `
    mount -t tmpfs none /etc/mdevctl.d; mkdir -p /etc/mdevctl.d/scripts.d/callouts /etc/mdevctl.d/scripts.d/notifiers
    mdevctl() { '${program}' "$@"; }
    ${lines.join('\n    ')}
    echo "nothing defined: $(mdevctl list)"
    mdevctl define -u ${AUTO} -p mtty -t mtty-1 --auto
    mdevctl define -u ${BLOCKED} -p mtty -t mtty-2 --auto
    mdevctl modify -u ${BLOCKED} --addattr migration_block --value 1
    mdevctl define -u ${MANUAL} -p mtty -t mtty-1
    ${lines.join('\n    ')}
    mdevctl list | sort
    cat /sys/bus/mdev/devices/${BLOCKED}/migration_block
    ${lines.join('\n    ')}
    echo "a second time: $?"`;
}

/** `rules`: the path of the package's 60-mdevctl.rules. */
export function defineBootSuite(program: string, version: string, rules: string): void {
  describe(`mdevctl ${version} at boot`, () => {
    it('starts what is defined --auto, with its attributes, by its udev rule and the uevent of a parent that appears', () => {
      const dir = mkdtempSync(join(tmpdir(), 'mdevsim-boot-'));
      try {
        writeFileSync(join(dir, 'boot'), bootScript(program, rules));
        const { status, stdout, stderr } = mdevsim(['run', '--', 'bash', join(dir, 'boot')]);
        assert.deepEqual(stdout.split('\n').filter((line) => line.trim() !== ''), [
          'nothing defined: ', `${AUTO} mtty mtty-1 auto (defined)`, `${BLOCKED} mtty mtty-2 auto (defined)`, '1', 'a second time: 0',
        ], stderr);
        assert.equal(status, 0, stderr);
      } finally {
        rmSync(dir, { recursive: true });
      }
    });
  });
}
