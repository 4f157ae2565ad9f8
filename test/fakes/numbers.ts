/** xorshift32: whole numbers from 0 to below what is asked for; the same ones for the same seed. */
export function numbers(seed: number): (below: number) => number {
  let x = seed * 0x9e37_79b9 >>> 0;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}
