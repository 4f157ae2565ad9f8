/** The migration stream of a vGPU: layout.ts has its structs. Only pages that were written are in it, so its size varies. */
import { Errno } from '../../abi/errno.js';
import type { Card } from './card.js';
import {
  GVT_STATE_MAGIC, GVT_STATE_VERSION, gvt_state_body, gvt_state_header, gvt_state_page,
} from './layout.js';

const sizeWith = (pages: number): number => gvt_state_header.size + gvt_state_body.size + pages * gvt_state_page.size;

/** Bytes as the card is now. */
export function stateSize(card: Card): number {
  return sizeWith(card.memory.pageCount);
}

/** Bytes with every page written. */
export function largestState(card: Card): number {
  return sizeWith(card.memory.maxPages);
}

/** `lowGm`: the type's graphics memory in the aperture, MiB, by which the types differ. */
export function encodeHeader(lowGm: number): Uint8Array {
  return gvt_state_header.encode({ magic: GVT_STATE_MAGIC, version: GVT_STATE_VERSION, low_gm_size: lowGm });
}

/** Throws EINVAL where the stream is not one of a vGPU of that type. */
export function checkHeader(header: Uint8Array, lowGm: number): void {
  if (Buffer.compare(header, encodeHeader(lowGm)) !== 0) throw new Errno('EINVAL', 'not the state of a vGPU of this type');
}

/** The whole stream. */
export function encodeState(card: Card, lowGm: number): Uint8Array {
  const pages = card.memory.pages();
  const stream = new Uint8Array(sizeWith(pages.length));
  stream.set(encodeHeader(lowGm));
  const body = { pages: pages.length, dma: card.dma.registers, config: card.config.save() };
  gvt_state_body.patch(stream, body, gvt_state_header.size);
  pages.forEach(([number, content], n) => gvt_state_page.patch(stream, { number: BigInt(number), content }, sizeWith(n)));
  return stream;
}

/** A whole stream whose header has been looked at. Throws EINVAL, with nothing changed, where it is cut or makes no sense. */
export function loadState(card: Card, stream: Uint8Array): void {
  if (stream.length < sizeWith(0)) throw new Errno('EINVAL', 'cut');
  const body = gvt_state_body.decode(stream, gvt_state_header.size);
  if (body.pages > card.memory.maxPages || stream.length !== sizeWith(body.pages)) throw new Errno('EINVAL', 'cut');
  const pages = Array.from({ length: body.pages }, (_, n) => gvt_state_page.decode(stream, sizeWith(n)));
  pages.forEach(({ number }, n) => {
    const previous = pages[n - 1]?.number ?? -1n;
    if (number <= previous || number >= BigInt(card.memory.maxPages)) throw new Errno('EINVAL', 'page numbers');
  });
  card.memory.clear();
  for (const { number, content } of pages) card.memory.write(Number(number) * content.length, content);
  card.config.load(body.config);
  card.dma.set(body.dma);
}
