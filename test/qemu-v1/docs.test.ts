/** docs/gvt-v1.md: its commands are run as written, with Debian 12's own QEMU. Opt-in: scripts/test --qemu-v1. */
import { debianQemu } from '../debian-tree.js';
import { defineDocument } from '../docs/suite.js';

const qemu = debianQemu('qemu-v1', 'bookworm');
defineDocument('docs/gvt-v1.md', typeof qemu === 'string' ? { programs: { 'qemu-7.2': qemu } } : { skip: qemu.missing });
