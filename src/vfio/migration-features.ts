/** What a device can do in a migration, as words: `stop-copy,p2p,pre-copy`. The spelling is that of the kernel's debugfs. */
import { VFIO_MIGRATION_P2P, VFIO_MIGRATION_PRE_COPY, VFIO_MIGRATION_STOP_COPY } from '../abi/vfio.js';

const WORDS = [
  ['stop-copy', VFIO_MIGRATION_STOP_COPY],
  ['p2p', VFIO_MIGRATION_P2P],
  ['pre-copy', VFIO_MIGRATION_PRE_COPY],
] as const;

export const ALL_MIGRATION_FEATURES = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;

/**
 * VFIO_MIGRATION_* flags from words separated by commas, plus signs or blanks. Throws RangeError, with a sentence for the
 * user, at an unknown word and where stop-copy (which the kernel demands of every device) is missing.
 */
export function parseMigrationFeatures(text: string): number {
  let flags = 0;
  for (const word of text.split(/[,+\s]+/).filter((part) => part !== '')) {
    const found = WORDS.find(([name]) => name === word);
    if (found === undefined) throw new RangeError(`unknown migration feature '${word}': use stop-copy, p2p, pre-copy`);
    flags |= found[1];
  }
  if ((flags & VFIO_MIGRATION_STOP_COPY) === 0) throw new RangeError('migration features must include stop-copy');
  return flags;
}

/** The words of `flags`, in the kernel's order. */
export function migrationFeatureWords(flags: number): readonly string[] {
  return WORDS.filter(([, flag]) => (flags & flag) !== 0).map(([word]) => word);
}
