/* Preloaded into the server of the memory benchmark (node --expose-gc): on SIGUSR2 prints what is used after a collection. */
/* global process */
process.on('SIGUSR2', () => {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
  process.stdout.write(`${JSON.stringify({ heap: heapUsed + external + arrayBuffers, rss })}\n`);
});
