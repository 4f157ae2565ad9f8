/** A small Linux guest: a distribution's kernel, busybox as the only program, and a console on a socket. */
import { copyFileSync, cpSync, existsSync, mkdirSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { basename, join } from 'node:path';
import { ROOT, sh } from './child.js';
import { until, within } from './deadline.js';
import { spawnSync } from 'node:child_process';

const KERNEL = process.env['MDEVSIM_TEST_KERNEL'] ?? join(ROOT, 'build/guest/vmlinuz');

/** Downloads a kernel unless there is one. Throws with the reason. */
export function guestKernel(): string {
  if (existsSync(KERNEL)) return KERNEL;
  const { status, stderr } = spawnSync(join(ROOT, 'test/e2e/guest-kernel.sh'), [KERNEL], { timeout: 120_000, encoding: 'utf8' });
  if (status !== 0) throw new Error(`no kernel for the guest: ${stderr}`);
  return KERNEL;
}

/** Makes the initramfs in `scratch` and returns its path. */
export function makeInitramfs(scratch: string): string {
  const root = join(scratch, 'guest');
  for (const dir of ['bin', 'dev', 'proc', 'sys', 'lib64']) mkdirSync(join(root, dir), { recursive: true });
  const busybox = sh('command -v busybox').stdout.trim();
  copyFileSync(busybox, join(root, 'bin/busybox'));
  // Debian's busybox is dynamically linked, Ubuntu's static one has nothing here.
  for (const [, library = ''] of sh(`ldd ${busybox}`).stdout.matchAll(/(\/\S+\.so\S*)/g)) {
    mkdirSync(join(root, 'lib/x86_64-linux-gnu'), { recursive: true });
    const folder = basename(library).startsWith('ld-') ? 'lib64' : 'lib/x86_64-linux-gnu';
    cpSync(library, join(root, folder, basename(library)), { dereference: true });
  }
  copyFileSync(join(ROOT, 'test/e2e/guest-init.sh'), join(root, 'init'));
  const image = join(scratch, 'initramfs.gz');
  const pack = `find . | cpio -o -H newc 2>/dev/null | gzip -1 > ${image}`;
  const { status, stderr } = sh(`chmod 755 ${root}/init && cd ${root} && ${pack}`);
  if (status !== 0) throw new Error(`cpio: ${stderr}`);
  return image;
}

/** QEMU's arguments for the guest; `path` is the console's socket. */
export function guestArguments(kernel: string, initramfs: string, path: string): readonly string[] {
  return [
    '-kernel', kernel, '-initrd', initramfs, '-append', 'console=ttyS0 quiet panic=-1 nokaslr tsc=reliable rdinit=/init',
    '-chardev', `socket,id=console,path=${path},server=on,wait=off`, '-device', 'isa-serial,chardev=console',
  ];
}

/** The guest's console: lines out, answers ("= ...") in. */
export class Console {
  readonly #socket: Socket;
  #text = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => (this.#text += data));
    socket.on('error', () => undefined);
  }

  static async open(path: string): Promise<Console> {
    const socket = connect(path);
    await within(10, `the guest's console at ${path}`, new Promise((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    }));
    return new Console(socket);
  }

  /** What follows "= word " in the first such answer not yet taken. */
  answer(seconds: number, word: string): Promise<string> {
    return until(seconds, `the guest to say "${word}"`, () => {
      const found = new RegExp(`= ${word} ?([^\\r\\n]*)\\r?\\n`).exec(this.#text);
      if (found === null) return undefined;
      this.#text = this.#text.slice(found.index + found[0].length);
      return found[1];
    }, () => this.#text.slice(-3000));
  }

  async tell(line: string, seconds: number, word: string): Promise<string> {
    this.#socket.write(`${line}\n`);
    return this.answer(seconds, word);
  }

  close(): void {
    this.#socket.destroy();
  }
}
