/** Values: how they are stored, how they are read, and what a schema says of them. */
import type { Issue, WireEntry } from "./entry.js";
import { Problem } from "./problem.js";

/**
 * A schema of any library that follows Standard Schema (https://standardschema.dev), such as Zod,
 * Valibot or ArkType.
 */
export interface Schema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validation<Output> | Promise<Validation<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema says of a value. */
export type Validation<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

/** Reads the value of an entry; parts of it that `previous` has as well stay the same objects. */
export type Decode<T> = (
  data: WireEntry,
  previous?: T,
) => { value: T; issues?: readonly Issue[] | undefined };

const ofBase64 = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/** The value of an entry as it was sent. */
function valueOf({ value, text, base64 }: WireEntry): unknown {
  if (value !== undefined) return value;
  if (text !== undefined) return text;
  return base64 === undefined ? undefined : ofBase64(base64);
}

/** Makes a Decode. What the schema makes of a value is the value, unless it does not match. */
export const decodeBy =
  <T>(schema?: Schema<unknown, T>): Decode<T> =>
  (data, previous) => {
    const value = share(previous, valueOf(data)) as T;
    if (!schema || value === undefined) return { value };
    const checked = validate(schema, value);
    if (checked.issues) return { value, issues: checked.issues };
    return { value: share(previous, checked.value) as T };
  };

function validate<T>(schema: Schema<unknown, T>, value: unknown): Validation<T> {
  const checked = schema["~standard"].validate(value);
  if (checked instanceof Promise) throw new TypeError("the schema must validate at once");
  return checked;
}

/** Returns what the schema makes of a value that is to be stored. */
export function check<T>(schema: Schema<unknown, T> | undefined, value: T): T {
  if (!schema) return value;
  const checked = validate(schema, value);
  if (checked.issues) throw new InvalidValue(checked.issues);
  return checked.value;
}

/** A value does not match the schema of its bucket. Its code is `invalid-value`. */
export class InvalidValue extends Problem {
  override name = "InvalidValue";

  constructor(readonly issues: readonly Issue[]) {
    const [first] = issues;
    const path = first?.path?.map((part) => (typeof part === "object" ? part.key : part)) ?? [];
    super([path.join("."), first?.message].filter(Boolean).join(": "), { code: "invalid-value" });
  }
}

const ofJSON = (type: string): boolean => /^[^;]*[/+]json\s*(;|$)/i.test(type);

const isBytes = (value: unknown): value is Blob | BufferSource =>
  value instanceof Blob || value instanceof ArrayBuffer || ArrayBuffer.isView(value);

/** Returns the media type of an entry if another value can be stored with it. */
export const keepsType = (value: unknown, contentType: string | undefined): string | undefined =>
  typeof value === "string" || isBytes(value) || ofJSON(contentType ?? "")
    ? contentType
    : undefined;

/** The body of a value, and its media type; undefined if it has none. */
export interface Encoded {
  body: string | Blob | BufferSource;
  contentType: string | undefined;
}

/**
 * Makes the body of a value. Bytes and Blobs are stored as they are. Else, if the media type is one
 * of JSON, or the value is not a string, it is stored as JSON. A string is stored as text.
 */
export function encode(value: unknown, contentType?: string): Encoded {
  if (isBytes(value)) {
    return { body: value, contentType: contentType ?? ((value as Blob).type || undefined) };
  }
  if (typeof value === "string" && !ofJSON(contentType ?? "")) {
    return { body: value, contentType: contentType ?? "text/plain;charset=utf-8" };
  }
  const body = JSON.stringify(value) as string | undefined;
  if (body === undefined) throw new TypeError(`${typeof value} is no value that can be stored`);
  return { body, contentType: contentType ?? "application/json" };
}

/** How deep values are compared. What is deeper is taken as it came. */
const DEEPEST = 100;

/**
 * Returns `next` with those parts of `previous` that are equal to its own: what has not changed
 * stays the same object, so that a view can compare by reference.
 */
export function share(previous: unknown, next: unknown, depth = 0): unknown {
  if (previous === next || !isPlain(previous) || !isPlain(next) || depth > DEEPEST) return next;
  if (Array.isArray(previous) !== Array.isArray(next) || Object.hasOwn(next, "__proto__")) {
    return next;
  }
  const keys = Object.keys(next);
  let same = keys.length === Object.keys(previous).length;
  const shared: Record<string, unknown> = Array.isArray(next) ? ([] as unknown as {}) : {};
  for (const key of keys) {
    shared[key] = share(previous[key], next[key], depth + 1);
    if (!Object.hasOwn(previous, key) || shared[key] !== previous[key]) same = false;
  }
  return same ? previous : shared;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || Array.isArray(value);
}
