/** RAM of an incoming migration. */
import type { Ram } from '../vm/ram.js';
import { PAGE_SIZE } from '../vm/ram.js';
import { ramRunStruct, ramRecordStruct, StreamError } from './stream.js';

/** Throws StreamError for a record that does not fit the memory or itself. */
export function loadRam(ram: Ram, payload: Uint8Array): void {
  if (payload.length < ramRecordStruct.size) throw new StreamError('RAM record is too short');
  const { zero_runs: zeroRuns, runs } = ramRecordStruct.decode(payload);
  const index = ramRecordStruct.size;
  let data = index + (zeroRuns + runs) * ramRunStruct.size;
  if (payload.length < data) throw new StreamError('RAM record is too short');
  for (let at = 0; at < zeroRuns + runs; at++) {
    const { page, count } = ramRunStruct.decode(payload, index + at * ramRunStruct.size);
    if (count === 0 || page + count > ram.pages) {
      throw new StreamError(`RAM record names pages ${page} to ${page + count - 1} of ${ram.pages}`);
    }
    if (at < zeroRuns) {
      ram.zero(page, count);
      continue;
    }
    const end = data + count * PAGE_SIZE;
    if (end > payload.length) throw new StreamError('RAM record is too short');
    ram.bytes.set(payload.subarray(data, end), page * PAGE_SIZE);
    data = end;
  }
  if (data !== payload.length) throw new StreamError('RAM record is too long');
}
