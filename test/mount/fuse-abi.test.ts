import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '../../mount/fuse-abi.js';

/** sizeof() of each struct, printed by a C program from linux/fuse.h 7.41. */
const SIZES: Record<string, number> = {
  fuse_in_header: 40, fuse_out_header: 16, fuse_attr: 88, fuse_sx_time: 16, fuse_statx: 256, fuse_entry_out: 128,
  fuse_attr_out: 104, fuse_statx_in: 24, fuse_statx_out: 288, fuse_forget_in: 8, fuse_forget_one: 16,
  fuse_batch_forget_in: 8, fuse_getattr_in: 16, fuse_setattr_in: 88, fuse_mknod_in: 16, fuse_rename2_in: 16, fuse_open_in:
  8, fuse_open_out: 16, fuse_release_in: 24, fuse_flush_in: 24, fuse_read_in: 40, fuse_write_in: 40, fuse_write_out: 8,
  fuse_kstatfs: 80, fuse_setxattr_in: 16, fuse_getxattr_in: 8, fuse_getxattr_out: 8, fuse_access_in: 8, fuse_init_in: 64,
  fuse_init_out: 64, fuse_interrupt_in: 8, fuse_ioctl_in: 32, fuse_ioctl_out: 16, fuse_poll_in: 24, fuse_poll_out: 8,
  fuse_lseek_in: 24, fuse_dirent: 24, fuse_notify_poll_wakeup_out: 8, fuse_notify_inval_inode_out: 24,
  fuse_notify_inval_entry_out: 16,
};

for (const [name, size] of Object.entries(SIZES)) {
  test(`struct ${name} has ${size} bytes`, () => {
    const type = (abi as unknown as Record<string, { size: number; tag: string } | undefined>)[name];
    assert.equal(type?.size, size);
    assert.equal(type.tag, name);
  });
}

test('offsets in the longer structs', () => {
  assert.equal(abi.fuse_attr.fields.mode.offset, 60);
  assert.equal(abi.fuse_statx.fields.atime.offset, 64);
  assert.equal(abi.fuse_init_out.fields.max_pages.offset, 28);
  assert.equal(abi.fuse_setattr_in.fields.uid.offset, 76);
  assert.equal(abi.fuse_entry_out.fields.attr.offset, 40);
});

test('words() gives indices of 32-bit words behind the header', () => {
  const word = abi.words(abi.fuse_read_in, abi.IN_BODY);
  assert.deepEqual([word.fh, word.offset, word.size], [10, 12, 14]);
});
