/**
 * Prints a C program that prints, as JSON, what the C headers say of everything we declare. A name that the headers do not
 * have makes gcc fail and name it.
 */
import { C_NAMES, declared } from './declared.js';

const HEADERS = [
  'errno.h', 'stddef.h', 'stdio.h', 'sys/socket.h', 'linux/version.h', 'linux/types.h', 'linux/aio_abi.h', 'linux/ioctl.h', 'linux/fuse.h', 'linux/vfio.h',
  'linux/audit.h', 'linux/filter.h', 'linux/iommufd.h', 'linux/netlink.h', 'linux/pci_regs.h', 'linux/seccomp.h', 'linux/serial_reg.h',
];

const { constants, structs } = declared();
const lines = [
  ...HEADERS.map((header) => `#include <${header}>`),
  'static const char *comma = "";',
  'static void number(const char *name, __int128 v)',
  '{',
  '\tif (v < 0) printf("%s\\n    \\"%s\\": \\"-%llu\\"", comma, name, (unsigned long long)-v);',
  '\telse printf("%s\\n    \\"%s\\": \\"%llu\\"", comma, name, (unsigned long long)v);',
  '\tcomma = ",";',
  '}',
  'static void string(const char *name, const char *v) { printf("%s\\n    \\"%s\\": \\"\\\\\\"%s\\\\\\"\\"", comma, name, v); comma = ","; }',
  'int main(void)',
  '{',
  '\tprintf("{\\n  \\"linux\\": \\"%d.%d\\",\\n  \\"constants\\": {", LINUX_VERSION_CODE >> 16, LINUX_VERSION_CODE >> 8 & 255);',
  ...Object.entries(constants).sort().map(([name, value]) =>
    `\t${value.startsWith('"') ? 'string' : 'number'}("${name}", ${C_NAMES[name] ?? name});`),
  '\tprintf("\\n  },\\n  \\"structs\\": {"); comma = "";',
  ...Object.entries(structs).sort().flatMap(([tag, { fields }]) => [
    `\tprintf("%s\\n    \\"${tag}\\": { \\"size\\": %zu, \\"fields\\": {", comma, sizeof(struct ${tag})); comma = "";`,
    ...Object.keys(fields).map((field) =>
      `\tprintf("%s \\"${field}\\": [%zu, %zu]", comma, offsetof(struct ${tag}, ${field}), sizeof(((struct ${tag} *)0)->${field})); comma = ",";`),
    '\tprintf(" } }");',
  ]),
  '\tprintf("\\n  }\\n}\\n");',
  '\treturn 0;',
  '}',
];
console.log(lines.join('\n'));
