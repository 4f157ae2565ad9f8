/** include/linux/bitops.h */

/** Number of trailing zero bits, 0 to 63; undefined for 0. The kernel's __ffs(). */
export function lowestBit(value: bigint): number | undefined {
  if (value === 0n) return undefined;
  let bit = 0;
  while ((value >> BigInt(bit) & 1n) === 0n) bit++;
  return bit;
}
