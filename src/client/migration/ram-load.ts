/** RAM of an incoming migration. */
import type { Ram } from '../vm/ram.js';
import { PAGE_SIZE } from '../vm/ram.js';
import { ramPageStruct, ramRecordStruct, StreamError } from './stream.js';

/** Throws StreamError for a record that does not fit the memory or itself. */
export function loadRam(ram: Ram, payload: Uint8Array): void {
  if (payload.length < ramRecordStruct.size) throw new StreamError('RAM record is too short');
  const { zeros, pages } = ramRecordStruct.decode(payload);
  const data = ramRecordStruct.size + (zeros + pages) * ramPageStruct.size;
  if (payload.length !== data + pages * PAGE_SIZE) throw new StreamError('RAM record has the wrong length');
  for (let at = 0; at < zeros + pages; at++) {
    const page = Number(ramPageStruct.decode(payload, ramRecordStruct.size + at * ramPageStruct.size).page);
    if (page >= ram.pages) throw new StreamError(`RAM record names page ${page} of ${ram.pages}`);
    const from = data + (at - zeros) * PAGE_SIZE;
    if (at < zeros) ram.bytes.fill(0, page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
    else ram.bytes.set(payload.subarray(from, from + PAGE_SIZE), page * PAGE_SIZE);
  }
}
