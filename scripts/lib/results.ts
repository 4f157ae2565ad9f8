/** Counts the events of one test file (scripts/lib/reporter.ts). Pure. */
export interface FileResult {
  passed: number;
  /** Names of failed tests, outermost first: `suite > test`. */
  failed: string[];
  skipped: { readonly name: string; readonly reason: string }[];
  /** Started and never ended: where a hanging file was. */
  running: string[];
}

interface Line {
  readonly type: 'start' | 'pass' | 'fail';
  readonly name: string;
  readonly nesting: number;
  readonly suite: boolean;
  readonly skipped: boolean;
  readonly reason?: string;
  readonly subtests: boolean;
}

/**
 * Tests are counted, not suites, and not tests that only hold others. node:test reports children before their parent, so a
 * record that follows a deeper one is a parent. A parent that fails by itself, not through a child, counts as a failure.
 */
export function readResults(text: string): FileResult {
  const result: FileResult = { passed: 0, failed: [], skipped: [], running: [] };
  const open: string[] = [];
  let deepest = -1;
  for (const raw of text.split('\n')) {
    if (!raw.endsWith('}')) continue;
    const line = JSON.parse(raw) as Line;
    if (line.type === 'start') {
      open.length = Math.min(open.length, line.nesting);
      open[line.nesting] = line.name;
      continue;
    }
    const path = [...open.slice(0, line.nesting), line.name].join(' > ');
    open.length = Math.min(open.length, line.nesting);
    const parent = line.suite || deepest > line.nesting;
    deepest = line.nesting;
    if (line.type === 'fail' && !line.skipped) {
      if (!(parent && line.subtests)) result.failed.push(path);
    } else if (line.skipped) {
      result.skipped.push({ name: path, reason: line.reason ?? 'no reason given' });
    } else if (!parent) {
      result.passed++;
    }
  }
  if (open.length > 0) result.running.push(open.join(' > '));
  return result;
}
