// What every generated client of TypeScript must be able to do with a gateway: one round trip, told
// through an interface that each generator's test fills with its client.
//
// The stored bytes are read a second time with plain fetch, so that a client which changes them on
// both ways is found out.
import assert from "node:assert/strict";
import { test } from "node:test";

/** Carries out requests with a generated client. A refusal rejects with a Refusal. */
export interface Client {
  /** Creates a bucket with a history of 5, and returns the history that it has. */
  createBucket(bucket: string): Promise<number>;
  /** Stores a value on the condition ifMatch, if there is one, and returns the ETag. */
  put(bucket: string, key: string, value: Value, ifMatch?: string): Promise<string>;
  /** Returns a value's bytes. */
  get(bucket: string, key: string): Promise<Uint8Array>;
  keys(bucket: string): Promise<string[]>;
  /** Lists the buckets with their configuration. */
  buckets(): Promise<{ bucket: string; history: number }[]>;
  /** Lists the buckets with names=true. */
  bucketNames(): Promise<string[]>;
  delete(bucket: string, key: string): Promise<void>;
  deleteBucket(bucket: string): Promise<void>;
}

export interface Value {
  type: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** What is used of the generated type of problems. */
export interface Problem {
  type: string;
  status: number;
  current_revision?: number | undefined;
}

/** A problem, and the status of the answer that it came with. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    super(`${status} ${problem?.type}`);
  }
}

/** The gateway's base URL. It is an error not to have one: a test that is skipped proves nothing. */
export const baseUrl = process.env["KVGW_URL"] ?? "";
assert.ok(baseUrl, "set KVGW_URL to the base URL of a gateway, or use test/clients/run");

/** A value as the body of a request: a Blob, which has its media type. */
export const blobOf = ({ bytes, type }: Value) => new Blob([bytes], { type });
export const bytesOf = async (blob: Blob) => new Uint8Array(await blob.arrayBuffer());

const encode = (text: string) => new TextEncoder().encode(text);

// One value of each kind: text, JSON whose white space must stay, and bytes that are not UTF-8. The
// slashes of its key must arrive as they are.
const values: Record<string, Value> = {
  "config/motd": { type: "text/plain", bytes: encode("größer\r\n") },
  "orders.17": { type: "application/json", bytes: encode('[{"qty": 2},\n 9007199254740993]') },
  "images//logo": { type: "application/octet-stream", bytes: Uint8Array.from({ length: 512 }, (_, i) => i) },
};

export function run(name: string, client: Client) {
  const bucket = `clients-${name}-${Date.now()}`;

  // stored compares the bytes that are stored, as the client and as fetch read them.
  async function stored(key: string, { bytes, type }: Value) {
    assert.deepEqual(await client.get(bucket, key), bytes);
    const plain = await fetch(`${baseUrl}/buckets/${bucket}/keys/${encodeURIComponent(key)}`);
    assert.deepEqual(new Uint8Array(await plain.arrayBuffer()), bytes);
    assert.equal(plain.headers.get("Content-Type"), type);
  }

  async function refused(call: Promise<unknown>, status: number, code: string): Promise<Problem> {
    const refusal = await call.then(
      () => assert.fail("it was not refused"),
      (error: unknown) => error,
    );
    if (!(refusal instanceof Refusal)) throw refusal;
    assert.equal(refusal.status, status);
    assert.equal(refusal.problem.status, status);
    assert.equal(refusal.problem.type, `/problems/${code}`);
    return refusal.problem;
  }

  async function conflict(key: string, stale: string) {
    const lost = { type: "text/plain", bytes: encode("lost") };
    const problem = await refused(client.put(bucket, key, lost, stale), 412, "revision-mismatch");
    assert.ok(problem.current_revision);
  }

  async function listBuckets() {
    const full = await client.buckets();
    assert.equal(full.find((one) => one.bucket === bucket)?.history, 5);
    assert.ok((await client.bucketNames()).includes(bucket));
  }

  test(name, async () => {
    assert.equal(await client.createBucket(bucket), 5);
    for (const [key, value] of Object.entries(values)) {
      const etag = await client.put(bucket, key, value);
      await stored(key, value);
      const longer = { type: value.type, bytes: Uint8Array.of(...value.bytes, 0x20) };
      await client.put(bucket, key, longer, etag);
      await conflict(key, etag);
      await stored(key, longer);
    }
    assert.deepEqual(await client.keys(bucket), ["config/motd", "images//logo", "orders.17"]);
    await listBuckets();
    await client.delete(bucket, "orders.17");
    await refused(client.get(bucket, "orders.17"), 404, "key-deleted");
    assert.deepEqual(await client.keys(bucket), ["config/motd", "images//logo"]);
    await client.deleteBucket(bucket);
    await refused(client.deleteBucket(bucket), 404, "bucket-not-found");
  });
}
