/** The image under podman: all that docs/containers.md and compose.yaml say. Opt-in: scripts/test --containers. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { parse } from 'yaml';
import { ROOT, sh } from '../e2e/child.js';
import { composeOf, runOptions, shellWords } from './compose.js';
import { imageOfCheckout } from './image.js';
import { Podman } from './podman.js';
import { blocksOf, patternOf, stepsOf } from './transcript.js';

const DOCUMENT = join(ROOT, 'docs/containers.md');
const SOURCE = '11111111-1111-4111-8111-111111111111';
const TARGET = '22222222-2222-4222-8222-222222222222';
const REMOVE = 'podman rm --all --force --time 0';
const blocks = blocksOf(DOCUMENT);

/** Two VMMs migrate a device; in the middle of it a block is refused, before and after it is not. Runs where the lab is. */
const MIGRATION = `
  set -e
  device=/sys/bus/mdev/devices/${SOURCE}
  mdevctl list
  mdevsim vmm --device ${SOURCE},id=vf0 --qmp unix:/tmp/a --break switchover > /tmp/a.out &
  mdevsim vmm --device ${TARGET},id=vf0 --qmp unix:/tmp/b --incoming unix:/tmp/migration > /tmp/b.out &
  until grep -qs ready /tmp/a.out && grep -qs ready /tmp/b.out; do sleep 0.1; done
  echo 1 > $device/migration_block; cat $device/migration_block; echo 0 > $device/migration_block
  until mdevsim qmp /tmp/a migrate uri=unix:/tmp/migration; do sleep 0.1; done
  while grep -q RUNNING /sys/kernel/debug/vfio/${SOURCE}/migration/state; do sleep 0.1; done
  (echo 1 > $device/migration_block) 2>&1 || echo refused
  mdevsim qmp /tmp/a x-mdevsim-continue
  until mdevsim qmp /tmp/a query-migrate | grep -q completed; do sleep 0.1; done
  mdevsim qmp /tmp/b query-status
  echo 1 > $device/migration_block; cat $device/migration_block
  mdevsim qmp /tmp/a quit; mdevsim qmp /tmp/b quit
  wait; echo done
`;
const MIGRATED = new RegExp(`^${SOURCE} mtty mtty-2 manual\\n${TARGET} mtty mtty-2 manual\\n1\\n(?:mdevsim: .*\\n)*\\{\\}\\n`
  + '.*Device or resource busy\\nrefused\\n\\{\\}\\n\\{"status":"running","running":true\\}\\n1\\n\\{\\}\\n\\{\\}\\ndone\\n$');

const image = await imageOfCheckout();
if (!(image instanceof Podman)) describe('containers', () => void it('run', { skip: image.missing }));
else suite(image);

function suite(podman: Podman): void {
  after(() => podman.close());
  const ok = (script: string, limit?: number): string => {
    const { status, output } = podman.sh(script, limit);
    assert.equal(status, 0, `${script}\n${output}`);
    return output;
  };

  describe('the image', () => {
    it('has the program on the PATH, what it needs, and nothing else', () => {
      assert.match(ok('podman run --rm mdevsim mdevsim --version'), /^\d+\.\d+\.\d+\n$/);
      const { dependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: object };
      const packages = ok('podman run --rm mdevsim ls /opt/mdevsim/node_modules').split('\n').filter((name) => /^\w/.test(name));
      assert.deepEqual(packages, Object.keys(dependencies));
      const size = (name: string): number => Number(ok(`podman image inspect --format '{{.Size}}' ${name}`));
      const added = size('mdevsim') - size('base');
      assert.ok(added < 12e6, `${added} bytes`);
    });
  });

  describe('docs/containers.md', () => {
    for (const [at, { title, text }] of blocks.filter(({ language }) => language === 'console').entries()) {
      it(`${title}, session ${at + 1}`, () => {
        for (const { command, output } of stepsOf(text)) {
          const ran = podman.sh(command);
          assert.match(ran.output, patternOf(output), command);
          const fails = /^(mdevsim|cat): /.test(output);
          assert.equal(ran.status !== 0, fails, `${command}: status ${ran.status}`);
        }
      });
    }

    it('leaves no container and no mount', () => {
      assert.deepEqual(podman.containers(), []);
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
      assert.deepEqual(mounts.filter((line) => line.includes(` ${podman.directory}/`) && line.includes(' mdevsim ')), []);
    });

    it('has a GitHub Actions job whose options and steps do what they should', () => {
      const text = blocks.find(({ title }) => /GitHub/.test(title))?.text ?? '';
      const { jobs } = parse(text) as { jobs: Record<string, { container: { options: string }; steps: { run: string }[] }> };
      const { container, steps } = jobs['devices'] ?? assert.fail('no job called devices');
      const options = `${container.options} --security-opt seccomp=test/containers/docker-seccomp.json`;
      ok(`podman run --detach --name job ${options} mdevsim tail -f /dev/null`);
      try {
        const output = steps.map(({ run }) => ok(`podman exec job sh -e -c ${shellWords([run])}`));
        assert.deepEqual(output, [`${SOURCE} mtty mtty-2 manual\n`]);
      } finally {
        ok(REMOVE);
      }
    });

    const pod = sh('command -v catatonit').status === 0 ? {} : { skip: 'needs catatonit: scripts/test installs it as root' };
    it('has a Kubernetes pod that podman plays', pod, () => {
      const text = blocks.find(({ title }) => /Kubernetes/.test(title))?.text ?? '';
      const play = (action: string): string => ok(`podman kube ${action} - <<'END'\n${text}\nEND`);
      play('play');
      try {
        const output = ok('timeout 30 podman wait mdevsim-client; podman logs mdevsim-client');
        assert.equal(output, `0\n${SOURCE} mtty mtty-2 manual\n`);
      } finally {
        play('down');
      }
    });
  });

  describe('two VMMs', () => {
    it('migrate in a container of their own, beside the server: compose.yaml', () => {
      const { server, client } = composeOf(join(ROOT, 'compose.yaml'));
      ok(`podman run --detach --name server ${runOptions(server)} mdevsim ${shellWords(server.command)}`);
      try {
        const [kind, ...check] = server.healthcheck?.test ?? [];
        assert.equal(kind, 'CMD');
        ok(`until podman exec server ${shellWords(check)}; do sleep 0.1; done`);
        const command = [...client.entrypoint ?? [], 'bash', '-c', MIGRATION];
        assert.match(ok(`podman run --rm ${runOptions(client)} mdevsim ${shellWords(command)}`), MIGRATED);
        assert.equal(ok('podman logs server'), 'ready /lab\n');
      } finally {
        ok(REMOVE);
      }
    });

    const mdevs = `--mdev mtty-2,uuid=${SOURCE} --mdev mtty-2,uuid=${TARGET}`;
    for (const [who, options] of [
      ['root, with the capabilities', '--cap-add SYS_ADMIN --cap-add SYS_PTRACE'],
      ['an ordinary user without any', '--user 1000 --cap-drop ALL'],
    ]) {
      it(`migrate in one container as ${who}`, () => {
        const command = `podman run --rm --device /dev/fuse ${options} mdevsim mdevsim run ${mdevs} -- bash -c`;
        assert.match(ok(`${command} ${shellWords([MIGRATION])}`), MIGRATED);
      });
    }
  });
}
