import assert from "node:assert/strict";
import { test } from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./gen/contract.d.ts";
import { baseUrl } from "../scenario.js";

const bucket = `clients-ts-${Date.now()}`;

// The last request that was sent, so that the test sees how the client writes a path.
let lastRequest: Request | undefined;
const client = createClient<paths>({ baseUrl });
client.use({
  onRequest: ({ request }) => {
    lastRequest = request;
  },
});

type WriteResult = components["schemas"]["WriteResult"];

const tagOf = (written: WriteResult) => `"${written.revision}-${written.epoch}"`;
/** An entity tag without its check, which the tag of a write does not have. */
const unchecked = (etag: string | null) => etag?.replace(/\.[0-9a-z]{4}"$/, '"');
const at = (key: string) => ({ bucket, key });

// A value is bytes, which openapi-fetch must send as they are and not as JSON.
const bodySerializer = (value: Blob | undefined) => value;
const jsonValue = (value: unknown) => new Blob([JSON.stringify(value)]);

async function createBucket() {
  const { data, response } = await client.PUT("/buckets/{bucket}", {
    params: { path: { bucket }, header: { "If-None-Match": "*" } },
    body: { history: 5, description: "a generated client's" },
  });
  assert.equal(response.status, 201);
  assert.equal(data?.history, 5);
  assert.match(data.status.epoch, /^[0-9a-z]+$/);
}

async function deleteBucket() {
  const { response } = await client.DELETE("/buckets/{bucket}", { params: { path: { bucket } } });
  assert.equal(response.status, 204);
}

async function createValue(key: string): Promise<WriteResult> {
  const { data, response } = await client.PUT("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key), header: { "If-None-Match": "*" } },
    headers: { "Content-Type": "application/json" },
    body: jsonValue({ qty: 2 }),
    bodySerializer,
  });
  assert.equal(response.status, 201);
  assert.ok(data);
  assert.equal(data.key, key);
  return data;
}

async function readValue(key: string, written: WriteResult) {
  const { data, response } = await client.GET("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key) },
    parseAs: "text",
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("Content-Type"), "application/json");
  assert.equal(unchecked(response.headers.get("ETag")), tagOf(written));
  assert.deepEqual(JSON.parse(data ?? ""), { qty: 2 });

  const again = await client.GET("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key), header: { "If-None-Match": tagOf(written) } },
    parseAs: "text",
  });
  assert.equal(again.response.status, 304);
}

async function updateValue(key: string, written: WriteResult): Promise<WriteResult> {
  const { data, response } = await client.PUT("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key), header: { "If-Match": tagOf(written) } },
    headers: { "Content-Type": "application/json" },
    body: jsonValue({ qty: 3 }),
    bodySerializer,
  });
  assert.equal(response.status, 200);
  assert.ok(data);
  return data;
}

async function refuseStaleUpdate(key: string, stale: WriteResult, current: WriteResult) {
  const { error, response } = await client.PUT("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key), header: { "If-Match": tagOf(stale) } },
    headers: { "Content-Type": "application/json" },
    body: jsonValue({ qty: 4 }),
    bodySerializer,
  });
  assert.equal(response.status, 412);
  assert.equal(unchecked(response.headers.get("ETag")), tagOf(current));
  assert.ok(error);
  assert.match(error.type, /\/problems\/revision-mismatch$/);
  const currentRevision: number | undefined = error.current_revision;
  assert.equal(currentRevision, current.revision);
}

// keepBytes stores every byte there is, under a key whose slashes must arrive encoded.
async function keepBytes(key: string) {
  const bytes = Uint8Array.from({ length: 512 }, (_, i) => i);
  const { response } = await client.PUT("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key), header: { Prefer: "return=minimal" } },
    headers: { "Content-Type": "application/octet-stream" },
    body: new Blob([bytes]),
    bodySerializer,
  });
  assert.equal(response.status, 204);
  assert.ok(lastRequest?.url.endsWith("/keys/images%2F%2Flogo"), lastRequest?.url);

  const read = await client.GET("/buckets/{bucket}/keys/{key}", { params: { path: at(key) }, parseAs: "arrayBuffer" });
  assert.equal(read.response.status, 200);
  assert.deepEqual(new Uint8Array(read.data ?? new ArrayBuffer()), bytes);

  const entry = await client.GET("/buckets/{bucket}/entries/{key}", {
    params: { path: at("~"), query: { key, values: "base64" } },
  });
  assert.equal(entry.data?.key, key);
  assert.deepEqual(Uint8Array.from(Buffer.from(entry.data.base64 ?? "", "base64")), bytes);
}

async function listNames(filter: string[]): Promise<string[]> {
  const { data } = await client.GET("/buckets/{bucket}/keys", { params: { path: { bucket }, query: { filter } } });
  assert.ok(typeof data === "object"); // It would be a string of lines for another Accept.
  return data.keys;
}

async function list() {
  assert.deepEqual(await listNames([]), ["images//logo", "orders.17"]);
  assert.deepEqual(await listNames(["orders.*", "stock.>"]), ["orders.17"]);
}

async function deleteValue(key: string, current: WriteResult) {
  const deleted = await client.DELETE("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key), header: { "If-Match": tagOf(current) } },
  });
  assert.equal(deleted.response.status, 200);

  const gone = await client.GET("/buckets/{bucket}/keys/{key}", { params: { path: at(key) }, parseAs: "text" });
  assert.equal(gone.response.status, 404);
  assert.equal(gone.response.headers.get("KV-Operation"), "delete");
  assert.equal(gone.error?.revision, deleted.data?.revision);

  const history = await client.GET("/buckets/{bucket}/history/{key}", { params: { path: at(key) } });
  assert.deepEqual(
    history.data?.entries.map((entry) => entry.operation),
    ["put", "put", "delete"],
  );
  assert.deepEqual(history.data?.entries[1]?.value, { qty: 3 });
}

async function patchBucket() {
  const { data, response } = await client.PATCH("/buckets/{bucket}", {
    params: { path: { bucket } },
    headers: { "Content-Type": "application/merge-patch+json" },
    body: { history: 7, description: null },
  });
  assert.equal(response.status, 200);
  assert.equal(data?.history, 7);
  assert.equal(data.description, "");
}

async function readMany(key: string) {
  const { data } = await client.GET("/buckets/{bucket}/entries", {
    params: { path: { bucket }, query: { key: ["none", key] } },
  });
  assert.ok(typeof data === "object"); // It would be a string of lines for another Accept.
  assert.deepEqual(
    data.entries.map((entry) => entry.key),
    [key],
  );
  assert.equal(data.snapshot, true);
}

// importExport sends an export to the import of the same bucket.
async function importExport(entries: number) {
  const lines = await client.GET("/buckets/{bucket}/entries", {
    params: { path: { bucket } },
    headers: { Accept: "application/x-ndjson" },
    parseAs: "text",
  });
  assert.ok(typeof lines.data === "string");
  const { data, response } = await client.POST("/buckets/{bucket}/entries", {
    params: { path: { bucket } },
    headers: { "Content-Type": "application/x-ndjson" },
    body: lines.data,
    bodySerializer: (body: string) => body,
    parseAs: "text",
  });
  assert.equal(response.status, 200);
  assert.deepEqual(JSON.parse(data ?? ""), { done: true, stored: entries, failed: 0, expired: 0, prolonged: 0 });
}

async function deleteMany(keys: number) {
  const { data } = await client.DELETE("/buckets/{bucket}/keys", {
    params: { path: { bucket }, query: { filter: [">"] } },
  });
  assert.deepEqual(data, { deleted: keys, skipped: [], hidden: 0 });
}

test("round trip", async () => {
  await createBucket();
  try {
    const key = "orders.17";
    const first = await createValue(key);
    await readValue(key, first);
    const second = await updateValue(key, first);
    await refuseStaleUpdate(key, first, second);
    await keepBytes("images//logo");
    await list();
    await deleteValue(key, second);
    await patchBucket();
    await readMany("images//logo");
    await importExport(1);
    await deleteMany(1);
  } finally {
    await deleteBucket();
  }
});
