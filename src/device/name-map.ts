/**
 * NameMap: a map from names for sets that lose and regain the same names. V8's Map keeps deleted entries in their hash chains
 * until it grows, so deleting and setting one key over and over in a large Map costs more each time. Here a deleted name
 * keeps its entry without a value, and the map is built anew when such entries outnumber the others.
 */
export class NameMap<T extends object> {
  #entries = new Map<string, T | undefined>();
  #size = 0;

  /** How many dead entries are not worth a rebuild. */
  static readonly #SLACK = 32;

  get size(): number {
    return this.#size;
  }

  get(name: string): T | undefined {
    return this.#entries.get(name);
  }

  has(name: string): boolean {
    return this.#entries.get(name) !== undefined;
  }

  set(name: string, value: T): void {
    if (!this.has(name)) this.#size++;
    this.#entries.set(name, value);
  }

  /** Whether the name was there. */
  delete(name: string): boolean {
    if (!this.has(name)) return false;
    this.#entries.set(name, undefined);
    this.#size--;
    if (this.#entries.size > 2 * this.#size + NameMap.#SLACK) this.#rebuild();
    return true;
  }

  *[Symbol.iterator](): IterableIterator<[string, T]> {
    for (const [name, value] of this.#entries) if (value !== undefined) yield [name, value];
  }

  *values(): IterableIterator<T> {
    for (const value of this.#entries.values()) if (value !== undefined) yield value;
  }

  *keys(): IterableIterator<string> {
    for (const [name] of this) yield name;
  }

  #rebuild(): void {
    this.#entries = new Map(this);
  }
}

/** What others may do with it. */
export type ReadonlyNameMap<T extends object> =
  Pick<NameMap<T>, 'get' | 'has' | 'size' | 'keys' | 'values' | typeof Symbol.iterator>;
