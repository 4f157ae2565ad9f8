/**
 * Podman with a storage of its own, whose commands can be written as in the documentation: what this machine needs besides (the
 * runtime, limits, no network, no AppArmor) is in configuration files that only these commands see.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT, sh } from '../e2e/child.js';

/** Where the storages are: ignored by git, and on a disk, not on a small /tmp. */
const BUILD = join(ROOT, 'build');
const PREFIX = 'containers-';
/** ms; a storage that is older was left by a run that was killed. */
const STALE = 2 * 3_600_000;
/** What podman makes of its own limit of processes at its start; more could not be given to a container. */
const NPROC = 32_768;
/** Of a base: what no container needs. */
const LEFT_OUT = [
  'outside', 'var/cache/apt/archives/*.deb', 'var/cache/apt/*.bin', 'var/lib/apt/lists/*', 'usr/share/doc', 'usr/share/man',
];

/** What a machine must be able to do, in a container of the base, beyond running one. */
const PROBES: readonly (readonly [string, string])[] = [
  ['--device /dev/fuse --cap-add SYS_ADMIN base sh -c "mount -t tmpfs tmpfs /mnt && : <> /dev/fuse"', 'SYS_ADMIN has no effect'],
  ['--volume /dev/fuse:/dev/fuse base sh -c "! (: <> /dev/fuse) 2>/dev/null"', 'the device rules of containers are not enforced'],
];

/** What timeout(1) returns when it was needed. */
const KILLED = 124;

export interface Output {
  readonly status: number | null;
  /** Both streams, as they came. */
  readonly output: string;
}

/** `name=soft:hard` for containers.conf: what we have ourselves; podman's own defaults need CAP_SYS_RESOURCE. */
function limits(): string[] {
  const rows = readFileSync('/proc/self/limits', 'utf8').split('\n').map((line) => line.split(/ {2,}/));
  const limit = (title: string, most: number): string => {
    const [, soft = '', hard = ''] = rows.find(([name]) => name === title) ?? [];
    const number = (text: string): number => Math.min(text === 'unlimited' ? Infinity : Number(text), most);
    return `${number(soft)}:${number(hard)}`;
  };
  return [`nofile=${limit('Max open files', 1 << 20)}`, `nproc=${limit('Max processes', NPROC)}`];
}

function removeStale(): void {
  for (const name of readdirSync(BUILD).filter((one) => one.startsWith(PREFIX))) {
    const path = join(BUILD, name);
    if (Date.now() - statSync(path).mtimeMs > STALE) rmSync(path, { recursive: true, force: true });
  }
}

export class Podman {
  readonly directory: string;
  readonly #env: NodeJS.ProcessEnv;
  /** Somebody else's podman was here before: the control groups that it left stay. */
  readonly #cgroups: boolean;

  private constructor(driver: string) {
    this.#cgroups = sh('find /sys/fs/cgroup -name libpod_parent | grep -q .').status === 0;
    mkdirSync(BUILD, { recursive: true });
    removeStale();
    this.directory = mkdtempSync(join(BUILD, PREFIX));
    const conf = join(this.directory, 'containers.conf');
    const storage = join(this.directory, 'storage.conf');
    writeFileSync(conf, `[containers]\nnetns = "none"\napparmor_profile = "unconfined"\n`
      + `default_ulimits = ${JSON.stringify(limits())}\n`
      + '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nstop_timeout = 3\n');
    writeFileSync(storage, `[storage]\ndriver = "${driver}"\n`
      + `graphroot = "${this.directory}/root"\nrunroot = "${this.directory}/run"\n`);
    this.#env = { ...process.env, CONTAINERS_CONF: conf, CONTAINERS_STORAGE_CONF: storage, TMPDIR: this.directory };
  }

  static installed(): boolean {
    return sh('command -v podman && command -v runc').status === 0;
  }

  /** Podman with a storage in which `base`, a root directory, is the image `localhost/base`, and containers of it run. */
  static create(base: string, limit: number): Podman | { readonly missing: string } {
    let reason = '';
    for (const driver of ['overlay', 'vfs']) {
      const podman = new Podman(driver);
      const without = LEFT_OUT.map((path) => `--exclude='./${path}'`).join(' ');
      const tree = `tar -C '${base}' ${without} -c .`;
      const { status, output } = podman.sh(`${tree} | podman import - localhost/base && podman run --rm base true`, limit);
      if (status === 0) {
        const failed = PROBES.find(([command]) => podman.sh(`podman run --rm ${command}`).status !== 0);
        if (failed === undefined) return podman;
        podman.close();
        return { missing: `in containers of podman, ${failed[1]}` };
      }
      podman.close();
      if (status === KILLED) return { missing: `importing the base took longer than ${limit} s` };
      reason = output.trim().split('\n').at(-1) ?? '';
    }
    return { missing: `podman runs no container here: ${reason}` };
  }

  /** A bash script in the project's directory; killed with all that belongs to its session after `limit` seconds. */
  sh(script: string, limit = 60): Output {
    const { status, stdout } = spawnSync('timeout', ['-k', '5', String(limit), 'bash', '-c', `exec 2>&1\n${script}`], {
      cwd: ROOT, env: this.#env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'],
      timeout: (limit + 10) * 1000, killSignal: 'SIGKILL',
    });
    return { status, output: stdout };
  }

  /** Names of the containers that there are, running or not. */
  containers(): string[] {
    return this.sh('podman ps --all --format "{{.Names}}"').output.split('\n').filter((name) => name !== '');
  }

  /** Ends all containers and removes the storage. */
  close(): void {
    this.sh('podman pod rm --all --force --time 0; podman rm --all --force --time 0; podman rmi --all --force', 120);
    this.sh(`awk -v dir='${this.directory}/' 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac | xargs -r umount -l`);
    if (!this.#cgroups) this.sh("find /sys/fs/cgroup -depth -type d -path '*/libpod_parent*' -exec rmdir {} + 2>/dev/null");
    rmSync(this.directory, { recursive: true, force: true });
  }
}
