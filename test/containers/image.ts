/** The image of the Containerfile, built without a network on a base made by debootstrap. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianTree } from '../debian-tree.js';
import { ROOT } from '../e2e/child.js';
import { Podman } from './podman.js';

const TREE = 'container-base';
const RELEASE = 'trixie';
const BASE = ['nodejs', 'npm', 'mdevctl'];
const CACHE = join(ROOT, 'build/containers.npm');
const PACKAGE = ['package.json', 'package-lock.json', '.npmrc'];

/** Fills a cache with the packages of package-lock.json, with this machine's npm; returns why that can't be done. */
function fillCache(): string | undefined {
  const lock = join(CACHE, 'package-lock.json');
  const current = (): boolean => readFileSync(lock, 'utf8') === readFileSync(join(ROOT, 'package-lock.json'), 'utf8');
  if (existsSync(join(CACHE, 'done')) && current()) return undefined;
  rmSync(CACHE, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  for (const file of PACKAGE) copyFileSync(join(ROOT, file), join(CACHE, file));
  const args = ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--prefix', CACHE, '--cache', join(CACHE, 'cache')];
  const { status, stderr } = spawnSync('npm', args, { cwd: CACHE, timeout: 180_000, killSignal: 'SIGKILL', encoding: 'utf8' });
  rmSync(join(CACHE, 'node_modules'), { recursive: true, force: true });
  if (status !== 0) return `npm could not get its packages: ${stderr.trim().split('\n').at(-1) ?? ''}`;
  writeFileSync(join(CACHE, 'done'), '');
  return undefined;
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

/** Podman with the image `mdevsim`, or why there is none. Throws when the Containerfile does not build. */
export async function imageOfCheckout(): Promise<Podman | { readonly missing: string }> {
  if (!existsSync('/dev/fuse')) return { missing: 'needs /dev/fuse' };
  if (!Podman.installed()) return { missing: 'needs podman and runc: scripts/test installs them as root' };
  const unreachable = existsSync(join(ROOT, 'build', TREE, 'outside')) ? undefined : await whyNoMirror();
  if (unreachable !== undefined) return { missing: unreachable };
  const tree = debianTree(TREE, RELEASE, BASE);
  if ('missing' in tree) return tree;
  const missing = fillCache();
  if (missing !== undefined) return { missing };
  const podman = Podman.create(tree.directory);
  if (!(podman instanceof Podman)) return podman;
  const npmrc = join(podman.directory, 'npmrc');
  const cache = join(podman.directory, 'npm');
  writeFileSync(npmrc, 'offline=true\nupdate-notifier=false\n');
  cpSync(join(CACHE, 'cache'), cache, { recursive: true });
  const volumes = `--volume '${cache}:/root/.npm' --volume '${npmrc}:/root/.npmrc:ro'`;
  const options = `--network none --build-arg BASE=localhost/base ${volumes}`;
  const { status, output } = podman.sh(`podman build ${options} -t mdevsim .`, 240);
  if (status === 0) return podman;
  podman.close();
  throw new Error(`the Containerfile does not build:\n${output}`);
}
