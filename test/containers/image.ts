/** The image of the Containerfile, built without a network on a base made by debootstrap. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianTree } from '../debian-tree.js';
import { ROOT } from '../e2e/child.js';
import { Podman } from './podman.js';

const TREE = 'container-base';
const RELEASE = 'trixie';
const BASE = ['nodejs', 'npm', 'mdevctl'];
const CACHE = join(ROOT, 'build/containers.npm');
/**
 * Seconds that making the image may take; then the tests are skipped, so that they end within the time of their file. A quiet
 * machine with two processors needs 70 s for the base, once, and 60 s for the rest.
 */
const PATIENCE = 360;
const PACKAGE = ['package.json', 'package-lock.json', '.npmrc'];

/** Fills a cache with the packages of package-lock.json, with this machine's npm; returns why that can't be done, or ''. */
function fillCache(limit: number): string {
  const lock = join(CACHE, 'package-lock.json');
  const current = (): boolean => readFileSync(lock, 'utf8') === readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
  if (existsSync(join(CACHE, 'done')) && current()) return '';
  rmSync(CACHE, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  for (const file of PACKAGE) copyFileSync(join(ROOT, file), join(CACHE, file));
  const args = ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--prefix', CACHE, '--cache', join(CACHE, 'cache')];
  const options = { cwd: CACHE, timeout: limit * 1000, killSignal: 'SIGKILL', encoding: 'utf8' } as const;
  const { status, stderr } = spawnSync('npm', args, options);
  rmSync(join(CACHE, 'node_modules'), { recursive: true, force: true });
  if (status !== 0) return `npm could not get its packages: ${/^npm error (?!code).*$/m.exec(stderr)?.[0] ?? `status ${status}`}`;
  writeFileSync(join(CACHE, 'done'), '');
  return '';
}

/** Why there will be no Debian packages, found out at once; behind a proxy only debootstrap can tell. */
async function whyNoMirror(): Promise<string | undefined> {
  if (process.env['http_proxy'] !== undefined || process.env['HTTP_PROXY'] !== undefined) return undefined;
  const mirror = process.env['MDEVSIM_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian';
  try {
    const request = { method: 'HEAD', signal: AbortSignal.timeout(20_000) };
    const { ok, status } = await fetch(`${mirror}/dists/${RELEASE}/Release`, request);
    return ok ? undefined : `${mirror} answers ${status}`;
  } catch (error) {
    return `${mirror} does not answer: ${error instanceof Error ? error.message : String(error)}`;
  }
}

class TooSlow extends Error {}

/** Calls `step` with the seconds that are left of PATIENCE. */
const inTime = <T>(what: string, step: (limit: number) => T): T => {
  const left = Math.floor(PATIENCE - process.uptime());
  const result = left > 0 ? step(left) : undefined;
  const late = process.uptime() >= PATIENCE;
  if (result === undefined || late) throw new TooSlow(`${what} took longer than ${PATIENCE} s from the start`);
  return result;
};

/** Podman with the image `mdevsim`, or why there is none. Throws when the Containerfile does not build. */
export async function imageOfCheckout(): Promise<Podman | { readonly missing: string }> {
  if (!existsSync('/dev/fuse')) return { missing: 'needs /dev/fuse' };
  if (!Podman.installed()) return { missing: 'needs podman and runc: scripts/test installs them as root' };
  const trees = process.env['MDEVSIM_DEBIAN_TREES'] ?? join(ROOT, 'build');
  const unreachable = existsSync(join(trees, TREE, 'outside')) ? undefined : await whyNoMirror();
  if (unreachable !== undefined) return { missing: unreachable };
  const made: Podman[] = [];
  try {
    const tree = inTime('the base', () => debianTree(TREE, RELEASE, BASE));
    if ('missing' in tree) return tree;
    const missing = inTime('the cache of npm packages', fillCache);
    if (missing !== '') return { missing };
    const podman = inTime('the import of the base', (limit) => {
      const created = Podman.create(tree.directory, limit);
      if (created instanceof Podman) made.push(created);
      return created;
    });
    if (!(podman instanceof Podman)) return podman;
    const npmrc = join(podman.directory, 'npmrc');
    writeFileSync(npmrc, 'offline=true\nupdate-notifier=false\n');
    const volumes = `--volume '${join(CACHE, 'cache')}:/root/.npm' --volume '${npmrc}:/root/.npmrc:ro'`;
    const command = `podman build --network none --build-arg BASE=localhost/base ${volumes} -t mdevsim .`;
    const { status, output } = inTime('the build', (limit) => podman.sh(command, limit));
    if (status !== 0) throw new Error(`the Containerfile does not build:\n${output}`);
    return podman;
  } catch (error) {
    for (const one of made) one.close();
    if (error instanceof TooSlow) return { missing: error.message };
    throw error;
  }
}
