/**
 * Cryptographic cards: what PQAP(TAPQ) tells of a queue, and which queue can stand in for another. Sources:
 * arch/s390/include/asm/ap.h: struct ap_tapq_hwinfo; the series' verification rules (qinfo_compatible()).
 */

/** A Crypto Express card, as `lszcrypt` names them: C coprocessor (CCA), P EP11 coprocessor, A accelerator. */
export type ApCardType = `CEX${'4' | '5' | '6' | '7' | '8'}${'A' | 'C' | 'P'}`;

export const AP_CARD_TYPES: readonly ApCardType[] = (['4', '5', '6', '7', '8'] as const)
  .flatMap((generation) => (['A', 'C', 'P'] as const).map((mode) => `CEX${generation}${mode}` as const));

/** AP device type of a generation: CEX4 is 10, CEX8 is 14. */
const CEX4_DEVICE_TYPE = 10;

export function deviceType(type: ApCardType): number {
  return CEX4_DEVICE_TYPE + Number(type[3]) - 4;
}

/** MODE= of a card's uevents. */
export function modeName(type: ApCardType): string {
  return { A: 'accel', C: 'cca', P: 'ep11' }[type[4] as 'A' | 'C' | 'P'];
}

/* The upper half of the register (bits 0 to 31 counted from the left): facilities, mode, extended addressing, class. */
const APSC_APQKM_AP4KC = 0xe000_0000;
const MODE_BITS = { C: 0x1000_0000, A: 0x0800_0000, P: 0x0400_0000 } as const;
const APXA = 0x0200_0000;
const CLASS_NATIVE = 0x0080_0000;

/** Functions of a card of that type with everything on; the attribute ap_functions. */
export function defaultFunctions(type: ApCardType): number {
  return (APSC_APQKM_AP4KC | MODE_BITS[type[4] as 'A' | 'C' | 'P'] | APXA | CLASS_NATIVE) >>> 0;
}

/** ap_tapq_hwinfo.value: `functions` are its upper 32 bits. */
export function hardwareInfo(type: ApCardType, functions: number): bigint {
  return BigInt(functions >>> 0) << 32n | BigInt(deviceType(type)) << 24n;
}

/** QINFO_DATA_MASK: facilities, mode, APXA, SLCF, class, binding state; AP type. */
const COMPARED = 0xffff_c000_ff00_0000n;
const functionsOf = (data: bigint): bigint => data >> 32n;
const typeOf = (data: bigint): bigint => data >> 24n & 0xffn;

/** qinfo_compatible(): the same, or the same functions on a newer card. */
export function canReplace(source: bigint, target: bigint): boolean {
  if ((source & COMPARED) === (target & COMPARED)) return true;
  return functionsOf(source) === functionsOf(target) && typeOf(source) <= typeOf(target);
}
