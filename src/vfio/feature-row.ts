/** Rows of the table in feature.ts: features that VFIO itself answers. */
import type { VfioDevice } from './core.js';
import type { VfioFeature } from './device.js';

/** Undefined where the device has not got the feature (ENOTTY). */
export type FeatureRow = (device: VfioDevice) => VfioFeature | undefined;

/** A row whose feature is made once for each owner: a VMM that migrates asks for it very often. */
export function madeOnce<T extends object>(ownerOf: (device: VfioDevice) => T | undefined, make: (owner: T) => VfioFeature): FeatureRow {
  const made = new WeakMap<T, VfioFeature>();
  return (device) => {
    const owner = ownerOf(device);
    if (owner === undefined) return undefined;
    const known = made.get(owner);
    if (known !== undefined) return known;
    const feature = make(owner);
    made.set(owner, feature);
    return feature;
  };
}
