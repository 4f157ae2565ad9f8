/**
 * vGPU types and what their instances share: graphics memory and fences of one GPU. Source: drivers/gpu/drm/i915/gvt/vgpu.c:
 * intel_vgpu_configs[], intel_gvt_init_vgpu_types(); drivers/gpu/drm/i915/gvt/kvmgt.c: description_show().
 */
import { VFIO_DEVICE_API_PCI_STRING } from '../../abi/vfio.js';
import type { MdevTypeDescription } from '../../mdev/driver.js';

export interface GvtType extends MdevTypeDescription {
  /** Graphics memory that the CPU reaches through the aperture, and that only the GPU reaches, MiB. */
  readonly lowGm: number;
  readonly highGm: number;
  readonly fences: number;
}

/** Sizes in MiB; a vGPU of weight 8 gets twice the time of one with weight 4. */
const CONFIGS = [
  { instances: 8, lowGm: 64, highGm: 384, fences: 4, weight: 2, resolution: '1024x768' },
  { instances: 4, lowGm: 128, highGm: 512, fences: 4, weight: 4, resolution: '1920x1200' },
] as const;

export const GVT_TYPES: readonly GvtType[] = CONFIGS.map(({ instances, lowGm, highGm, fences, weight, resolution }) => ({
  name: `i915-GVTg_V5_${instances}`,
  prettyName: `GVTg_V5_${instances}`,
  deviceApi: VFIO_DEVICE_API_PCI_STRING,
  description: [
    `low_gm_size: ${lowGm}MB`, `high_gm_size: ${highGm}MB`, `fence: ${fences}`, `resolution: ${resolution}`, `weight: ${weight}`,
  ].join('\n'),
  lowGm, highGm, fences,
}));

export function gvtType({ name }: MdevTypeDescription): GvtType {
  const found = GVT_TYPES.find((type) => type.name === name);
  if (found === undefined) throw new RangeError(`gvt has no type ${name}`);
  return found;
}

/** What the host keeps for itself: MiB, MiB, and fences. */
const HOST = { lowGm: 128, highGm: 384, fences: 4 };
const GGTT_MIB = 4096;
const FENCES = 32;
/** Apertures that a GPU can have, MiB. */
export const APERTURES: readonly number[] = [256, 512, 1024];

/** What one GPU has left for vGPUs. */
export class GpuResources {
  #lowGm: number;
  #highGm: number;
  #fences = FENCES - HOST.fences;
  readonly #ids = new Set<number>();

  /** `aperture`: MiB, one of APERTURES. */
  constructor(aperture: number) {
    this.#lowGm = aperture - HOST.lowGm;
    this.#highGm = GGTT_MIB - aperture - HOST.highGm;
  }

  available(type: GvtType): number {
    return Math.floor(Math.min(this.#lowGm / type.lowGm, this.#highGm / type.highGm, this.#fences / type.fences));
  }

  /** Takes what an instance needs and returns its number, the lowest that is free, from 1. There must be enough. */
  take(type: GvtType): number {
    this.#change(type, -1);
    let id = 1;
    while (this.#ids.has(id)) id++;
    this.#ids.add(id);
    return id;
  }

  giveBack(type: GvtType, id: number): void {
    this.#change(type, 1);
    this.#ids.delete(id);
  }

  #change({ lowGm, highGm, fences }: GvtType, sign: 1 | -1): void {
    this.#lowGm += sign * lowGm;
    this.#highGm += sign * highGm;
    this.#fences += sign * fences;
  }
}
