/**
 * C structs as data: a field list gives size, offsets, the TypeScript type and a codec.
 *
 * Little-endian, natural alignment, as the x86-64 and arm64 ABIs lay a struct out. u64/s64 are bigint, the rest number;
 * `bytes(n)` is a Uint8Array copy of n bytes. A trailing flexible array is not a field: it starts at `size`.
 * Every struct is checked against the C headers (test/abi, scripts/abi-offsets).
 */
export interface FieldType<T> {
  readonly size: number;
  readonly align: number;
  readonly zero: () => T;
  readonly get: (view: DataView, offset: number) => T;
  readonly set: (view: DataView, offset: number, value: T) => void;
}

export const u8: FieldType<number> = { size: 1, align: 1, zero: () => 0, get: (v, o) => v.getUint8(o), set: (v, o, x) => v.setUint8(o, x) };
export const u16: FieldType<number> = { size: 2, align: 2, zero: () => 0, get: (v, o) => v.getUint16(o, true), set: (v, o, x) => v.setUint16(o, x, true) };
export const u32: FieldType<number> = { size: 4, align: 4, zero: () => 0, get: (v, o) => v.getUint32(o, true), set: (v, o, x) => v.setUint32(o, x, true) };
export const s32: FieldType<number> = { size: 4, align: 4, zero: () => 0, get: (v, o) => v.getInt32(o, true), set: (v, o, x) => v.setInt32(o, x, true) };
export const u64: FieldType<bigint> = { size: 8, align: 8, zero: () => 0n, get: (v, o) => v.getBigUint64(o, true), set: (v, o, x) => v.setBigUint64(o, x, true) };
export const s64: FieldType<bigint> = { size: 8, align: 8, zero: () => 0n, get: (v, o) => v.getBigInt64(o, true), set: (v, o, x) => v.setBigInt64(o, x, true) };

/** `char name[n]` or `__u8 name[n]`. Setting a shorter array leaves the rest as it was. */
export function bytes(n: number): FieldType<Uint8Array> {
  return {
    size: n, align: 1, zero: () => new Uint8Array(n),
    get: (v, o) => new Uint8Array(v.buffer.slice(v.byteOffset + o, v.byteOffset + o + n)),
    set: (v, o, x) => new Uint8Array(v.buffer, v.byteOffset + o, n).set(x.subarray(0, n)),
  };
}

/** `__u64 name[n]`. */
export function u64s(n: number): FieldType<readonly bigint[]> {
  const at = (o: number, i: number): number => o + i * u64.size;
  return {
    size: n * u64.size, align: u64.align, zero: () => new Array<bigint>(n).fill(0n),
    get: (v, o) => Array.from({ length: n }, (_, i) => u64.get(v, at(o, i))),
    set: (v, o, x) => x.slice(0, n).forEach((word, i) => u64.set(v, at(o, i), word)),
  };
}

/** FieldType of whatever value: what a declaration may list, nested structs included. */
interface AnyFieldType {
  readonly size: number;
  readonly align: number;
  readonly zero: () => unknown;
  readonly get: (view: DataView, offset: number) => unknown;
  readonly set: (view: DataView, offset: number, value: never) => void;
}
export type Fields = Record<string, AnyFieldType>;
type FieldValue<F> = F extends FieldType<infer T> ? T : never;
type Values<F extends Fields> = { -readonly [K in keyof F]: FieldValue<F[K]> };

export interface Struct<F extends Fields> extends FieldType<Values<F>> {
  /** The C tag, `vfio_device_info`. */
  readonly tag: string;
  readonly fields: { readonly [K in keyof F]: { readonly offset: number; readonly size: number } };
  /** The kernel's offsetofend(): the smallest argsz that holds the struct up to and with that field. */
  offsetofend(field: keyof F & string): number;
  /** Throws RangeError where fewer than `size` bytes are left at `offset`. */
  decode(data: Uint8Array, offset?: number): Values<F>;
  /** A new buffer; fields left out are zero. */
  encode(values: Partial<Values<F>>): Uint8Array;
  /** Overwrites only the named fields. */
  patch(data: Uint8Array, values: Partial<Values<F>>, offset?: number): void;
}

export type StructValue<S> = S extends Struct<infer F> ? Values<F> : never;

export interface StructOptions {
  /** `__attribute__((packed))` */
  readonly packed?: boolean;
}

export function struct<const F extends Fields>(tag: string, fields: F, options?: StructOptions): Struct<F>;
export function struct(tag: string, declared: Fields, options: StructOptions = {}): Struct<Record<string, FieldType<unknown>>> {
  const types = declared as Record<string, FieldType<unknown>>;
  const offsets: Record<string, { offset: number; size: number }> = {};
  let end = 0;
  let align = 1;
  for (const [name, type] of Object.entries(types)) {
    const fieldAlign = options.packed === true ? 1 : type.align;
    end = Math.ceil(end / fieldAlign) * fieldAlign;
    offsets[name] = { offset: end, size: type.size };
    end += type.size;
    align = Math.max(align, fieldAlign);
  }
  const size = Math.ceil(end / align) * align;
  const rows = Object.entries(types).map(([name, type]) => ({ name, type, offset: offsets[name]?.offset ?? 0 }));
  const view = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);
  const get = (v: DataView, base: number): Record<string, unknown> => {
    const values: Record<string, unknown> = {};
    for (const { name, type, offset } of rows) values[name] = type.get(v, base + offset);
    return values;
  };
  const set = (v: DataView, base: number, values: Record<string, unknown>): void => {
    for (const { name, type, offset } of rows) {
      const value = values[name];
      if (value !== undefined) type.set(v, base + offset, value);
    }
  };
  return {
    tag, size, align, fields: offsets, get, set,
    zero: () => Object.fromEntries(rows.map(({ name, type }) => [name, type.zero()])),
    offsetofend: (field) => {
      const found = offsets[field];
      if (found === undefined) throw new RangeError(`struct ${tag} has no field ${field}`);
      return found.offset + found.size;
    },
    decode: (data, offset = 0) => get(view(data), offset),
    encode: (values) => {
      const data = new Uint8Array(size);
      set(view(data), 0, values);
      return data;
    },
    patch: (data, values, offset = 0) => set(view(data), offset, values),
  };
}
