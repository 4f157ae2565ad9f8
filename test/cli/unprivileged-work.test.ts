/** A day's work of an ordinary user with a home of their own, in one `mdevsim run`: mdevctl, and two VMMs that migrate a device. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { MDEVSIM } from './mdevsim.js';
import { asNobody, NOBODY, whyNotNobody } from './nobody.js';

const A = '11111111-1111-4111-8111-111111111111';
const B = '22222222-2222-4222-8222-222222222222';
const MADE = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1009';

describe('mdevsim run as an ordinary user', { skip: whyNotNobody('namespaces') }, () => {
  let home = '';
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'mdevsim-home-'));
    chownSync(home, NOBODY, NOBODY);
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  /** As that user, in that home; `mdevsim` is a function of the script. */
  function run(script: string): string[] {
    const file = join(home, 'script');
    writeFileSync(file, `set -eu\ncd "$HOME"\nmdevsim() { ${MDEVSIM.map((word) => `'${word}'`).join(' ')} "$@"; }\n${script}`, { mode: 0o644 });
    const { status, stdout, stderr } = asNobody(['env', `HOME=${home}`, 'RUST_BACKTRACE=0', ...MDEVSIM, 'run',
      '--mdev', `mtty-2,uuid=${A}`, '--mdev', `mtty-2,uuid=${B}`, '--', 'bash', file]);
    assert.equal(status, 0, `${stdout}${stderr}`);
    return stdout.split('\n').filter((line) => line !== '');
  }

  it('has no capability, and is not root, before', () => {
    const { stdout } = asNobody(['sh', '-c', 'id -u; grep -E "^Cap(Prm|Eff|Amb)" /proc/self/status | tr -d "\\t"; test -w /dev/fuse && echo fuse']);
    assert.equal(stdout, `${NOBODY}\nCapPrm:0000000000000000\nCapEff:0000000000000000\nCapAmb:0000000000000000\nfuse\n`);
  });

  const mdevctl = spawnSync('mdevctl', ['--version']).error === undefined ? false : 'needs mdevctl';
  it('mdevctl lists, defines, starts and stops', { skip: mdevctl }, () => {
    assert.deepEqual(run(`
      mkdir -p definitions/scripts.d/callouts definitions/scripts.d/notifiers; mount --bind definitions /etc/mdevctl.d
      mdevctl list | sort
      mdevctl define -u ${MADE} -p mtty -t mtty-1
      mdevctl modify -u ${MADE} --addattr migration_block --value 1
      mdevctl start -u ${MADE}
      mdevctl list -d; cat /sys/bus/mdev/devices/${MADE}/migration_block
      mdevctl stop -u ${MADE}; mdevctl list -d`), [
      `${A} mtty mtty-2 manual`, `${B} mtty mtty-2 manual`, `${MADE} mtty mtty-1 manual (active)`, '1', `${MADE} mtty mtty-1 manual`,
    ]);
  });

  it('two VMMs open devices by VFIO and migrate, and a block is refused meanwhile', () => {
    const answers = run(`
      mdevsim vmm --lab "$MDEVSIM_LAB" --device ${A} --qmp unix:a.qmp --break switchover > a.log 2>&1 &
      mdevsim vmm --lab "$MDEVSIM_LAB" --device ${B} --qmp unix:b.qmp --incoming unix:move > b.log 2>&1 &
      for name in a b; do until grep ready $name.log; do sleep 0.1; done; done
      mdevsim qmp a.qmp migrate uri=unix:move
      mdevsim qmp a.qmp query-migrate --until '"device"' > device.log
      echo 1 > /sys/bus/mdev/devices/${A}/migration_block 2> block.log || grep -o "Device or resource busy" block.log
      mdevsim qmp a.qmp x-mdevsim-continue
      mdevsim qmp a.qmp query-migrate --until completed > end.log
      mdevsim qmp b.qmp query-status
      mdevsim qmp a.qmp quit; mdevsim qmp b.qmp quit; wait`);
    assert.deepEqual(answers, [
      'ready unix:a.qmp', 'ready unix:b.qmp', '{}', 'Device or resource busy', '{}', '{"status":"running","running":true}', '{}', '{}',
    ]);
  });
});
