/** A mounted lab, asked by the probes what real kernels were asked: every difference must be explained. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { AREAS } from './lib/areas.js';
import { loadExpected } from './lib/expected.js';
import { startLab } from './lib/lab.js';
import { whyNotBuildable } from './lib/probes.js';
import { judge, lines } from './lib/report.js';

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'the probes were recorded as root';
  if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  return whyNotBuildable();
}

const reason = whyNot();
/** The first has iommufd, cdevs and debugfs, as a lab has; the second is Debian's own kernel. */
const RECORDINGS = { '6.12': ['k2', 'stock'], '7.2': ['k72', 's72'] } as const;

for (const [kernel, recordings] of Object.entries(RECORDINGS)) for (const area of AREAS) {
  const options = { skip: reason ?? false, timeout: (area.limit + 60) * 1000 };
  test(`a lab answers the ${area.name} probe as Linux ${kernel} did`, options, async () => {
    await using lab = await startLab(kernel);
    const run = await area.run(lab, recordings[0], {});
    for (const recording of recordings) {
      const expected = loadExpected(new URL('./', import.meta.url), recording);
      const result = judge(area, recording, { ...run, kernel: area.golden(recording, {}) }, expected);
      const unexplained = result.problems.length + result.sections.reduce((sum, section) => sum + section.unexplained.length, 0);
      assert.equal(unexplained, 0, [recording, ...lines(result, true)].join('\n'));
    }
  });
}
