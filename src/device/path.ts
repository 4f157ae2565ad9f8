/** Texts of links, without touching the nodes (they may not exist as objects). */

/** The way from the directory `from` to `to`, both absolute: `/bus/mdev/devices` to `/devices/x` is `../../../devices/x`. */
export function relativePath(from: string, to: string): string {
  const start = from.split('/').filter((part) => part !== '');
  const end = to.split('/').filter((part) => part !== '');
  let common = 0;
  while (common < start.length && common < end.length && start[common] === end[common]) common++;
  return [...start.slice(common).map(() => '..'), ...end.slice(common)].join('/');
}
