/** Maps a file of a lab privately and passes addresses in it to an ioctl. Arguments: the file to map, the file to ask. */
import { openFd } from '../../src/sys/io.js';
import { bind, lastErrno } from '../../src/sys/libc.js';

const [mapped = '', asked = ''] = process.argv.slice(2);
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_PRIVATE = 2;
const PAGE = 4096;
const mmap = bind('mmap', 'long', ['pointer', 'size', 'int', 'int', 'int', 'long']);
const ioctl = bind('ioctl', 'int', ['int', 'ulong', 'ulong']);

const address = mmap(null, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, openFd(mapped, 0), 0);
const file = openFd(asked, 2);
for (const [command, argument] of [[0x3bf1, address], [0x3bf2, address], [0x3bf1, address - 4], [0x3bf3, address]] as const) {
  console.log(ioctl(file, command, argument) < 0 ? -lastErrno() : 'ok');
}
