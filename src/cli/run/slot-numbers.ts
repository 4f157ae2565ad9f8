/** Which descriptors `run` opens as slots. */

/** Shells use low numbers themselves. */
export const FIRST_SLOT = 512;
export const DEFAULT_SLOTS = 256;
