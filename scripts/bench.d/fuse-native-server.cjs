/* fuse-native (libfuse 2.9) serving the attribute alone: it has no ioctl, no poll, no caller's pid and no direct I/O. Usage: MODULE DIR */
/* global process, Buffer, console */
'use strict';
const [, , modulePath, dir] = process.argv;
const Fuse = require(modulePath);

const text = Buffer.from('0\n');
const stat = (mode, size) => ({ mtime: new Date(), atime: new Date(), ctime: new Date(), size, mode, uid: 0, gid: 0, nlink: 1 });

const fuse = new Fuse(dir, {
  readdir: (path, done) => (path === '/' ? done(0, ['attr']) : done(Fuse.ENOENT)),
  getattr: (path, done) => {
    if (path === '/') done(0, stat(0o40755, 0));
    else if (path === '/attr') done(0, stat(0o100644, 4096));
    else done(Fuse.ENOENT);
  },
  open: (_path, _flags, done) => done(0, 1),
  truncate: (_path, _size, done) => done(0),
  read: (_path, _fd, buffer, length, position, done) => done(position >= text.length ? 0 : text.copy(buffer, 0, position, position + length)),
  write: (_path, _fd, buffer, length, _position, done) => {
    if (buffer[0] !== 0x30 && buffer[0] !== 0x31) return done(Fuse.EINVAL);
    text[0] = buffer[0];
    return done(length);
  },
}, { force: true, entryTimeout: 3600, attrTimeout: 3600 });

fuse.mount((error) => {
  if (error) throw error;
  console.log('ready');
});
const stop = () => fuse.unmount(() => process.exit(0));
process.on('SIGTERM', stop).on('SIGINT', stop);
