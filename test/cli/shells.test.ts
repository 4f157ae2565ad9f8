/** What real shells see of `echo` into the tree: the same errors as on a kernel, in each shell's own words. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { asRoot, Server, shell } from './mdevsim.js';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

interface Shell {
  readonly name: string;
  readonly program: readonly string[];
  /** How its echo reports a failed write(2): dash has one text for every errno. */
  readonly says: (text: string) => RegExp;
}

const SHELLS: readonly Shell[] = [
  { name: 'bash', program: ['bash', '--norc'], says: (text) => new RegExp(`echo: write error: ${text}`) },
  { name: 'dash', program: ['dash'], says: () => /echo: (echo: )?I\/O error/ },
  { name: 'busybox sh', program: ['busybox', 'sh'], says: (text) => new RegExp(`(write error|echo): ${text}`) },
];

for (const { name, program, says } of SHELLS) {
  const missing = shell('true', program.slice(0, 1).concat(program[0] === 'busybox' ? ['sh'] : [])).status !== 0;
  describe(`echo in ${name}`, missing ? { skip: `${name} is not installed` } : asRoot, () => {
    it('creates, blocks and removes a device', async () => {
      await using server = await Server.start();
      const { stdout, stderr, status } = shell(`
        cd "$1/sys"
        echo ${UUID} > class/mdev_bus/mtty/mdev_supported_types/mtty-1/create || exit 1
        cd bus/mdev/devices/${UUID} || exit 2
        cat migration_block; echo 1 > migration_block || exit 3; cat migration_block
        echo off > migration_block || exit 4; cat migration_block
        cd /; echo 1 > "$1/sys/bus/mdev/devices/${UUID}/remove" || exit 5
        ls "$1/sys/bus/mdev/devices"`, program, [server.dir]);
      assert.deepEqual({ stdout, stderr, status }, { stdout: '0\n1\n0\n', stderr: '', status: 0 });
    });

    const errors: readonly (readonly [string, string, string])[] = [
      ['a value that is no boolean', `echo maybe > bus/mdev/devices/${UUID}/migration_block`, 'Invalid argument'],
      ['a UUID that is none', 'echo what > class/mdev_bus/mtty/mdev_supported_types/mtty-1/create', 'Invalid argument'],
      ['a UUID that exists', `echo ${UUID} > class/mdev_bus/mtty/mdev_supported_types/mtty-1/create`, 'File exists'],
    ];
    for (const [what, command, text] of errors) {
      it(`reports ${what}`, async () => {
        await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
        const { stderr, status } = shell(`cd "$1/sys"; ${command}`, program, [server.dir]);
        assert.match(stderr, says(text));
        assert.notEqual(status, 0);
      });
    }

    it('reports an open that fails', async () => {
      await using server = await Server.start(['--mdev', `mtty-1,uuid=${UUID}`]);
      const open = shell('echo 1 > "$1/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/name"', program, [server.dir]);
      assert.match(open.stderr, /[Pp]ermission denied/);
      const make = shell(`echo 1 > "$1/sys/bus/mdev/devices/${UUID}/nothing"`, program, [server.dir]);
      assert.match(make.stderr, /Permission denied|nonexistent|can't create|cannot create/);
    });
  });
}
