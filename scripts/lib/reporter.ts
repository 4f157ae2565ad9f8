/**
 * node:test reporter that writes one JSON line per event that the runner counts (scripts/lib/results.ts reads them).
 * Written as things happen, so that a file that is killed still shows how far it came.
 */
interface ReporterEvent {
  readonly type: string;
  readonly data?: {
    readonly name?: string;
    readonly nesting?: number;
    readonly skip?: string | boolean;
    readonly todo?: string | boolean;
    readonly details?: { readonly type?: string; readonly error?: unknown };
  };
}

export default async function* report(source: AsyncIterable<ReporterEvent>): AsyncGenerator<string> {
  for await (const { type, data } of source) {
    if (type !== 'test:dequeue' && type !== 'test:pass' && type !== 'test:fail') continue;
    const error = data?.details?.error;
    yield JSON.stringify({
      // test:start waits for its turn in the report; test:dequeue says when a test really starts.
      type: type === 'test:dequeue' ? 'start' : type.slice('test:'.length),
      name: data?.name ?? '',
      nesting: data?.nesting ?? 0,
      suite: data?.details?.type === 'suite',
      skipped: data?.skip !== undefined || data?.todo !== undefined,
      reason: typeof data?.skip === 'string' ? data.skip : undefined,
      subtests: error instanceof Error && /subtests? failed/.test(error.message),
    }) + '\n';
  }
}
