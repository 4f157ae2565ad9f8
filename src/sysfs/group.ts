/** Attribute groups: struct attribute_group. */
import type { Attribute } from './attribute.js';

/** Attributes bound to their owner. `bindGroup` closes over the owner so that groups of different owners fit in one list. */
export interface AttributeGroup {
  /** Subdirectory; undefined puts the attributes into the object's own directory. */
  readonly name?: string;
  readonly attributes: readonly Attribute<unknown>[];
  /** First argument of every show and store. */
  readonly owner: unknown;
}

export function bindGroup<T>(owner: T, attributes: readonly Attribute<T>[], name?: string): AttributeGroup {
  return name === undefined
    ? { owner, attributes: attributes as readonly Attribute<unknown>[] }
    : { owner, attributes: attributes as readonly Attribute<unknown>[], name };
}
