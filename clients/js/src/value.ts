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

/** Reads the value of an entry. */
export type Decode<T> = (data: WireEntry) => { value: T; issues?: readonly Issue[] | undefined };

const ofBase64 = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/** Makes a Decode. What the schema makes of a value is the value, unless it does not match. */
export const decodeBy =
  <T>(schema?: Schema<unknown, T>): Decode<T> =>
  ({ value, text, base64 }) => {
    const stored = (value ?? text ?? (base64 === undefined ? value : ofBase64(base64))) as T;
    if (!schema || stored === undefined) return { value: stored };
    const checked = validate(schema, stored);
    return checked.issues ? { value: stored, issues: checked.issues } : checked;
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
    const path = first?.path?.map((part) => (part as { key: PropertyKey }).key ?? part);
    super(`${path?.join(".") ?? ""}: ${first?.message}`, { code: "invalid-value" });
  }
}

const ofJSON = (type = ""): boolean => /^[^;]*[/+]json\s*(;|$)/i.test(type);

const isBytes = (value: unknown): value is Blob | BufferSource =>
  value instanceof Blob || value instanceof ArrayBuffer || ArrayBuffer.isView(value);

/** Returns the media type of an entry if another value can be stored with it. */
export const keepsType = (value: unknown, contentType: string | undefined): string | undefined =>
  typeof value === "string" || isBytes(value) || ofJSON(contentType)
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
  if (typeof value === "string" && !ofJSON(contentType)) {
    return { body: value, contentType: contentType ?? "text/plain;charset=utf-8" };
  }
  const body = JSON.stringify(value) as string | undefined;
  if (body === undefined) throw new TypeError(`${typeof value} cannot be stored`);
  return { body, contentType: contentType ?? "application/json" };
}
