/** Everything that is declared of the kernel's ABI, against what the C headers said (test/fixtures/abi.json). */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as pci from '../../src/abi/pci.js';
import { pci_header_type0 } from '../../src/abi/pci-header.js';
import { ABI_MODULES, declared } from '../../scripts/abi-offsets.d/declared.js';

interface Fixture {
  readonly linux: string;
  readonly constants: Record<string, string>;
  readonly structs: Record<string, { readonly size: number; readonly fields: Record<string, readonly [number, number]> }>;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const readJson = (text: string): Fixture => JSON.parse(text) as Fixture;
const fixture = readJson(readFileSync(`${ROOT}test/fixtures/abi.json`, 'utf8'));
const ours = declared();

/** What the others are made of, names for traces, the lab's own additions to the uAPI, and what was never merged. */
const NOT_THE_KERNELS = new Set(['bitops.ts', 'fd-ioctls.ts', 'layout.ts', 'ioctl-names.ts', 'kernel-profile.ts', 'mdevsim.ts', 'vfio-ap.ts', 'vfio-rfc.ts']);

test('every module of src/abi is in the check', () => {
  const found = readdirSync(`${ROOT}src/abi`).filter((name) => !NOT_THE_KERNELS.has(name)).map((name) => `src/abi/${name}`);
  assert.deepEqual(found.filter((path) => !(path in ABI_MODULES)), []);
});

test('every declared constant has the value of the C headers', () => {
  const wrong = Object.entries(ours.constants).filter(([name, value]) => fixture.constants[name] !== value)
    .map(([name, value]) => `${name}: ${value}, C headers: ${fixture.constants[name] ?? 'not in the fixture, run scripts/abi-offsets'}`);
  assert.deepEqual(wrong, []);
  assert.ok(Object.keys(ours.constants).length > 400);
});

for (const [tag, struct] of Object.entries(ours.structs)) {
  test(`struct ${tag} has the size and the offsets of the C headers`, () => {
    const wanted = fixture.structs[tag];
    assert.ok(wanted !== undefined, 'not in the fixture: run scripts/abi-offsets');
    assert.deepEqual({ size: struct.size, fields: struct.fields }, { size: wanted.size, fields: wanted.fields });
  });
}

test('the fixture has nothing that is no longer declared', () => {
  assert.deepEqual(Object.keys(fixture.constants).filter((name) => !(name in ours.constants)), []);
  assert.deepEqual(Object.keys(fixture.structs).filter((tag) => !(tag in ours.structs)), []);
});

test('the configuration space header lies where pci_regs.h says', () => {
  const numbers = pci as unknown as Record<string, number>;
  for (const [field, { offset }] of Object.entries(pci_header_type0.fields)) {
    if (field === 'reserved') continue;
    assert.equal(offset, numbers[`PCI_${field.toUpperCase()}`], field);
  }
  assert.equal(pci_header_type0.size, pci.PCI_STD_HEADER_SIZEOF);
});

/** Whether this machine has a compiler and headers as new as those of the fixture. */
function headersMissing(): string | false {
  const probe = `#include <linux/version.h>\n#include <linux/iommufd.h>\nlong v = LINUX_VERSION_CODE;\n`;
  try {
    const out = execFileSync('gcc', ['-E', '-P', '-'], { input: probe, encoding: 'utf8', stdio: ['pipe', 'pipe', 'ignore'], timeout: 20_000 });
    const code = Number(/long v = (\d+)/.exec(out)?.[1]);
    return code >= 0x60c00 ? false : 'linux-libc-dev is older than 6.12';
  } catch {
    return 'no gcc, or no linux/iommufd.h';
  }
}

test('scripts/abi-offsets prints the fixture', { skip: headersMissing() }, () => {
  const printed = readJson(execFileSync(`${ROOT}scripts/abi-offsets`, { encoding: 'utf8', timeout: 60_000 }));
  assert.deepEqual(printed.structs, fixture.structs);
  assert.deepEqual(printed.constants, fixture.constants);
});
