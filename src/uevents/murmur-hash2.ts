/** MurmurHash2, 32 bits, as libudev uses it for the filters of monitors (Austin Appleby, public domain). */
const M = 0x5bd1e995;

export function murmurHash2(data: Uint8Array, seed = 0): number {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let hash = seed ^ data.length;
  let at = 0;
  for (; data.length - at >= 4; at += 4) {
    let word = Math.imul(view.getUint32(at, true), M);
    word = Math.imul(word ^ (word >>> 24), M);
    hash = Math.imul(hash, M) ^ word;
  }
  if (at < data.length) {
    for (let byte = data.length - 1; byte >= at; byte--) hash ^= view.getUint8(byte) << (8 * (byte - at));
    hash = Math.imul(hash, M);
  }
  hash = Math.imul(hash ^ (hash >>> 13), M);
  return (hash ^ (hash >>> 15)) >>> 0;
}
