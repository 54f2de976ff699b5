// Tests patches, times to live, idempotency keys and transactions, on a bucket that allows them
// all.
import assert from "node:assert/strict";
import { test } from "node:test";
import createClient from "openapi-fetch";
import type { paths } from "./gen/contract.d.ts";
import { baseUrl } from "../scenario.js";

const bucket = `clients-ts-writes-${Date.now()}`;
const client = createClient<paths>({ baseUrl });
const at = (key: string) => ({ bucket, key });

// A value is bytes, which openapi-fetch must send as they are and not as JSON.
const bodySerializer = (value: Blob | undefined) => value;

async function holds(key: string, value: string): Promise<Headers> {
  const { data, response } = await client.GET("/buckets/{bucket}/keys/{key}", { params: { path: at(key) }, parseAs: "text" });
  assert.equal(response.status, 200);
  assert.equal(data, value);
  return response.headers;
}

async function createValue(key: string) {
  const { response } = await client.PUT("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key) },
    headers: { "Content-Type": "application/json" },
    body: new Blob([`{"qty":2,"note":"fragile"}`]),
    bodySerializer,
  });
  assert.equal(response.status, 200);
}

async function mergePatch(key: string) {
  const { response } = await client.PATCH("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key) },
    headers: { "Content-Type": "application/merge-patch+json" },
    body: { qty: 3, note: null },
  });
  assert.equal(response.status, 200);
  await holds(key, `{"qty":3}`);
}

async function jsonPatch(key: string) {
  const send = (qty: number) =>
    client.PATCH("/buckets/{bucket}/keys/{key}", {
      params: { path: at(key) },
      headers: { "Content-Type": "application/json-patch+json" },
      body: [
        { op: "test", path: "/qty", value: qty },
        { op: "add", path: "/paid", value: true },
      ],
    });
  assert.equal((await send(3)).response.status, 200);
  await holds(key, `{"qty":3,"paid":true}`);
  const refused = await send(4);
  assert.equal(refused.response.status, 409);
  assert.equal(refused.error?.type, "/problems/patch-test-failed");
}

// expire stores a value with a time to live, and reads when it ends.
async function expire(key: string) {
  const { response } = await client.PUT("/buckets/{bucket}/keys/{key}", {
    params: { path: at(key), query: { ttl: "90s" } },
    headers: { "Content-Type": "text/plain" },
    body: new Blob(["user 4"]),
    bodySerializer,
  });
  assert.equal(response.status, 200);
  const headers = await holds(key, "user 4");
  const expires = Date.parse(headers.get("KV-Expires") ?? "");
  assert.equal(expires - Date.parse(headers.get("KV-Created") ?? ""), 90_000);
  assert.match(headers.get("KV-TTL") ?? "", /^1m[0-9.]+s$/);
  const entry = await client.GET("/buckets/{bucket}/entries/{key}", { params: { path: at(key) } });
  assert.equal(Date.parse(entry.data?.expires ?? ""), expires);
}

// retry sends the same request twice, and another request with the same idempotency key.
async function retry(key: string) {
  const put = (value: string) =>
    client.PUT("/buckets/{bucket}/keys/{key}", {
      params: { path: at(key), header: { "Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"' } },
      headers: { "Content-Type": "application/json" },
      body: new Blob([value]),
      bodySerializer,
    });
  const first = await put("1");
  const again = await put("1");
  assert.equal(again.response.status, 200);
  assert.equal(again.data?.revision, first.data?.revision);
  const other = await put("2");
  assert.equal(other.response.status, 422);
  assert.equal(other.error?.type, "/problems/idempotency-key-reused");
  await holds(key, "1");
}

async function transact(a: string, b: string) {
  const send = (header: { "Idempotency-Key"?: string }) =>
    client.POST("/buckets/{bucket}/transactions", {
      params: { path: { bucket }, header },
      body: {
        operations: [
          { op: "put", key: a, value: { balance: 5 }, if_absent: true },
          { op: "put", key: b, text: "open" },
        ],
      },
    });
  const done = await send({ "Idempotency-Key": "transfer-1" });
  assert.equal(done.response.status, 200);
  assert.equal(done.data?.results[1]?.revision, done.data?.revision);
  await holds(a, `{"balance":5}`);
  await holds(b, "open");

  const again = await send({ "Idempotency-Key": "transfer-1" });
  assert.equal(again.response.status, 409);
  assert.equal(again.error?.revision, done.data?.revision);
  const failed = await send({});
  assert.equal(failed.response.status, 412);
  assert.equal(failed.error?.failed?.[0]?.key, a);
}

test("writes", async () => {
  const { response } = await client.PUT("/buckets/{bucket}", {
    params: { path: { bucket } },
    body: { history: 5, limit_marker_ttl: "1s", allow_atomic: true },
  });
  assert.equal(response.status, 201);
  try {
    await createValue("orders.17");
    await mergePatch("orders.17");
    await jsonPatch("orders.17");
    await expire("sessions.9");
    await retry("orders.18");
    await transact("accounts.a", "accounts.b");
  } finally {
    await client.DELETE("/buckets/{bucket}", { params: { path: { bucket } } });
  }
});
