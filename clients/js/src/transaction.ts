/** Transactions: several writes, all or nothing. */
import { durationOf } from "./address.js";
import { check, encode, type Schema } from "./value.js";

/** The condition of one operation, on the bucket as it is before the transaction. */
interface OperationCondition {
  key: string;
  /** The key's last revision is this; 0 means that it was never written. */
  ifRevision?: number | undefined;
  /** The key has no value. */
  ifAbsent?: boolean | undefined;
}

/** One operation of a transaction. A `check` only has a condition. */
export type Operation<T = unknown> =
  | (OperationCondition & {
      op: "put";
      value: T;
      contentType?: string | undefined;
      ttl?: number | string | undefined;
    })
  | (OperationCondition & { op: "delete" | "check" })
  | (OperationCondition & { op: "purge"; ttl?: number | string | undefined });

/** What a transaction made; of a check, the revision that it found. */
export interface Transacted {
  readonly revision: number;
  readonly epoch: string;
  readonly results: readonly { readonly key: string; readonly revision: number }[];
}

/** An operation as the gateway takes it. */
export function wireOf<T>(
  operation: Operation<T>,
  schema: Schema<unknown, T> | undefined,
): Record<string, unknown> {
  const { op, key, ifRevision, ifAbsent } = operation;
  const wire = { op, key, if_revision: ifRevision, if_absent: ifAbsent };
  const ttl = durationOf((operation as { ttl?: number | string }).ttl);
  if (operation.op !== "put") return { ...wire, ttl };
  const value = check(schema, operation.value);
  const { body, contentType } = encode(value, operation.contentType);
  return { ...wire, ttl, content_type: contentType, ...member(value, body) };
}

// The member that has the value.
function member(value: unknown, body: unknown): Record<string, unknown> {
  if (body instanceof Blob) throw new TypeError("a transaction takes no Blob");
  if (typeof body !== "string") return { base64: toBase64(body as BufferSource) };
  return body === value ? { text: body } : { value };
}

function toBase64(body: BufferSource): string {
  const bytes = ArrayBuffer.isView(body)
    ? new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
    : new Uint8Array(body);
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
