/** Tests reads, writes, lists and transactions of a bucket, against the built gateway. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Problem, createClient } from "../dist/kvgateway.js";
import { Gateway } from "../../../test/browser/harness.js";

let gateway, client;
before(async () => {
  gateway = await Gateway.start();
  client = createClient({ url: gateway.url });
});
after(() => gateway?.stop());

let made = 0;

/** A bucket of its own for a test. */
async function bucketOf(config = {}, options = {}) {
  const name = `b${++made}`;
  await client.request("PUT", `buckets/${name}`, {
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(config),
  });
  return client.bucket(name, options);
}

/** Checks that a promise rejects with a problem of a code, and returns the problem. */
async function problem(code, promise) {
  const error = await promise.then(() => assert.fail(`not refused with ${code}`), (e) => e);
  assert.ok(error instanceof Problem, String(error));
  assert.equal(error.code, code);
  return error;
}

test("values are read as they were stored: JSON, text and bytes", async () => {
  const bucket = await bucketOf();
  for (const value of [{ qty: 2 }, [1, null], 17, null, false, "", "text ✓", "{}"]) {
    await bucket.put("key", value);
    assert.deepEqual((await bucket.get("key")).value, value);
  }
  const bytes = Uint8Array.of(0, 255, 10);
  for (const value of [bytes, bytes.buffer, new Blob([bytes])]) {
    await bucket.put("bytes", value, { contentType: "image/png" });
    const entry = await bucket.get("bytes");
    assert.deepEqual(entry.value, bytes);
    assert.equal(entry.contentType, "image/png");
    assert.equal(entry.size, 3);
  }
  await bucket.put("json", "a string", { contentType: "application/json" });
  const stored = await client.request("GET", `buckets/${bucket.name}/keys/json`);
  assert.equal(await stored.text(), '"a string"');
  await assert.rejects(bucket.put("key", undefined), TypeError);
  await assert.rejects(bucket.put("key", () => {}), TypeError);
});

test("values=base64 gives each byte, so that large integers survive", async () => {
  const bucket = await bucketOf({}, { values: "base64" });
  const text = '{"n": 9007199254740993}';
  await bucket.put("key", new TextEncoder().encode(text), { contentType: "application/json" });
  assert.equal(new TextDecoder().decode((await bucket.get("key")).value), text);
});

test("keys of every form are themselves", async () => {
  const bucket = await bucketOf();
  for (const key of ["a/b", "a//b", "a/./b", "a/.b", "a.b", "=", "a_b-c"]) {
    await bucket.put(key, key);
    assert.equal((await bucket.get(key)).key, key);
  }
  for (const key of ["", ".", "..", "a/../b", "a b", "*", ">", "ä", "a\0b", "?", "#"]) {
    await problem("invalid-key", bucket.put(key, 1));
    await problem("invalid-key", bucket.delete(key));
    await problem("invalid-key", bucket.get(key));
  }
  await problem("key-too-long", bucket.get("k".repeat(1025)));
  for (const name of ["", ".", "..", "a/b", "a b", "ä"]) {
    assert.throws(() => client.bucket(name), TypeError);
  }
});

test("what is not there is undefined; a missing bucket is a problem", async () => {
  const bucket = await bucketOf();
  assert.equal(await bucket.get("never"), undefined);
  assert.equal(await bucket.delete("never"), undefined);
  await bucket.put("gone", 1);
  assert.equal((await bucket.delete("gone")).revision, 2);
  assert.equal(await bucket.get("gone"), undefined);
  const missing = await problem("bucket-not-found", client.bucket("missing").get("a"));
  assert.equal(missing.status, 404);
  assert.equal(missing.type, "/problems/bucket-not-found");
  assert.ok(missing.title && missing.problem.instance);
  assert.equal(missing.message, missing.detail);
});

test("a condition is an entry, what a write answered, a number, a tag or *", async () => {
  const bucket = await bucketOf();
  const first = await bucket.put("key", 1, { ifNoneMatch: "*" });
  const entry = await bucket.get("key");
  const second = await bucket.put("key", 2, { ifMatch: entry });
  await bucket.put("key", 3, { ifMatch: second });
  await bucket.put("key", 4, { ifMatch: 3 });
  await bucket.put("key", 5, { ifMatch: "*" });
  const mismatch = await problem("revision-mismatch", bucket.put("key", 0, { ifMatch: first }));
  assert.equal(mismatch.currentRevision, 5);
  assert.equal(mismatch.status, 412);
  await problem("key-exists", bucket.put("key", 0, { ifNoneMatch: "*" }));
  await problem("revision-mismatch", bucket.put("key", 0, { ifNoneMatch: 5 }));
  await problem("revision-mismatch", bucket.delete("key", { ifMatch: entry }));
  await problem("revision-mismatch", bucket.patch("key", {}, { ifMatch: entry }));
  await problem("invalid-header", bucket.put("key", 0, { ifMatch: "no tag" }));
  assert.equal((await bucket.get("key")).value, 5);
});

test("a revision is read by its number, and min_revision waits for one", async () => {
  const bucket = await bucketOf({ history: 5 });
  const first = await bucket.put("key", "one");
  const second = await bucket.put("key", "two");
  assert.equal((await bucket.get("key", { revision: 1 })).value, "one");
  assert.equal((await bucket.get("key", { minRevision: second })).value, "two");
  await problem("revision-not-found", bucket.get("key", { revision: 9 }));
  await bucket.delete("key");
  const history = await bucket.history("key");
  assert.deepEqual(
    history.map(({ revision, operation, value }) => [revision, operation, value]),
    [[first.revision, "put", "one"], [second.revision, "put", "two"], [3, "delete", undefined]],
  );
  await bucket.delete("key", { purge: true });
  assert.deepEqual((await bucket.history("key")).map(({ operation }) => operation), ["purge"]);
});

test("update retries until it is stored, however many others write", async () => {
  const bucket = await bucketOf();
  const increment = () => bucket.update("counter", (n = 0) => n + 1);
  await Promise.all(Array.from({ length: 20 }, increment));
  assert.equal((await bucket.get("counter")).value, 20);
  assert.equal(await bucket.update("counter", () => undefined), undefined);
  await assert.rejects(bucket.update("counter", () => { throw new Error("of the page"); }), /page/);
  assert.equal((await bucket.get("counter")).value, 20);
});

test("update keeps the media type as long as it fits the value", async () => {
  const bucket = await bucketOf();
  await bucket.put("csv", "a;b", { contentType: "text/csv" });
  await bucket.update("csv", (text) => `${text}\nc;d`);
  assert.equal((await bucket.get("csv")).contentType, "text/csv");
  await bucket.update("csv", () => ({ rows: 2 }));
  assert.deepEqual((await bucket.get("csv")).value, { rows: 2 });
  await bucket.put("json", "a", { contentType: "application/ld+json" });
  await bucket.update("json", (text) => `${text}b`);
  assert.equal((await bucket.get("json")).value, "ab");
});

test("patch changes a part: by merge, by operations, or the time to live alone", async () => {
  const bucket = await bucketOf({ limit_marker_ttl: "1h" });
  await bucket.put("key", { qty: 2, note: "x" });
  await bucket.patch("key", { qty: 3, note: null });
  assert.deepEqual((await bucket.get("key")).value, { qty: 3 });
  await bucket.patch("key", [
    { op: "test", path: "/qty", value: 3 },
    { op: "remove", path: "/qty" },
  ]);
  assert.deepEqual((await bucket.get("key")).value, {});
  await bucket.patch("key", undefined, { ttl: "1h30m" });
  const { expires, created } = await bucket.get("key");
  assert.equal(Math.round((Date.parse(expires) - Date.parse(created)) / 60_000), 90);
  await bucket.put("key", 1, { ttl: 60_000 });
  assert.ok((await bucket.get("key")).expires);
  await problem("not-json", (async () => {
    await bucket.put("text", "{");
    await bucket.patch("text", {});
  })());
});

test("list and entries come a page at a time", async () => {
  const bucket = await bucketOf();
  for (const key of ["a.1", "a.2", "a.3", "b.1", "c"]) await bucket.put(key, key);
  const pages = [];
  for await (const page of bucket.list({ limit: 2 })) pages.push(page.keys);
  assert.deepEqual(pages, [["a.1", "a.2"], ["a.3", "b.1"], ["c"]]);
  const { value: folded } = await bucket.list({ delimiter: "." }).next();
  assert.deepEqual([folded.keys, folded.prefixes], [["c"], ["a.", "b."]]);
  const entries = [];
  for await (const page of bucket.entries({ filter: ["a.*", "c"], limit: 3 })) {
    entries.push(...page.entries.map(({ key, value }) => [key, value]));
  }
  assert.deepEqual(entries, [["a.1", "a.1"], ["a.2", "a.2"], ["a.3", "a.3"], ["c", "c"]]);
  const { value: chosen } = await bucket.entries({ key: ["c", "none"] }).next();
  assert.deepEqual(chosen.entries.map(({ key }) => key), ["c"]);
  const { value: page } = await bucket.list({ limit: 1, prefix: "a" }).next();
  const { value: rest } = await bucket.list({ prefix: "a", cursor: page.next }).next();
  assert.deepEqual(rest.keys, ["a.2", "a.3"]);
  await problem("invalid-filter", bucket.list({ filter: "user*" }).next());
});

test("a transaction is stored as a whole or not at all", async () => {
  const bucket = await bucketOf({ allow_atomic: true });
  const first = await bucket.put("account", { balance: 10 });
  const result = await bucket.transact([
    { op: "put", key: "account", value: { balance: 5 }, ifRevision: first.revision },
    { op: "put", key: "motd", value: "hello" },
    { op: "put", key: "logo", value: Uint8Array.of(0, 1, 255), contentType: "image/png" },
    { op: "put", key: "json", value: "text", contentType: "application/json" },
    { op: "delete", key: "cart" },
    { op: "check", key: "never", ifAbsent: true },
  ]);
  assert.equal(result.results.length, 6);
  const { value: page } = await bucket.entries().next();
  assert.deepEqual(
    Object.fromEntries(page.entries.map(({ key, value }) => [key, value])),
    { account: { balance: 5 }, json: "text", logo: Uint8Array.of(0, 1, 255), motd: "hello" },
  );
  assert.equal((await bucket.get("motd")).transaction.index, 1);
  const failed = await problem("transaction-failed", bucket.transact([
    { op: "put", key: "account", value: { balance: 0 }, ifRevision: first.revision },
    { op: "put", key: "motd", value: "bye" },
  ]));
  assert.equal(failed.problem.failed[0].key, "account");
  assert.equal((await bucket.get("motd")).value, "hello");
  const again = { idempotencyKey: "once" };
  const once = await bucket.transact([{ op: "put", key: "motd", value: "once" }], again);
  const twice = await bucket.transact([{ op: "put", key: "motd", value: "once" }], again);
  assert.deepEqual(twice.results, once.results);
});

test("an idempotency key stores a write once", async () => {
  const bucket = await bucketOf();
  const options = { idempotencyKey: 'with "quotes" and spaces' };
  const one = await bucket.put("key", 1, options);
  assert.deepEqual(await bucket.put("key", 1, options), one);
  await problem("idempotency-key-reused", bucket.put("key", 2, options));
});

/** A schema of Standard Schema, as libraries make them. */
const order = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      Number.isInteger(value?.qty)
        ? { value: { note: "", ...value } }
        : { issues: [{ message: "is no integer", path: ["qty"] }] },
  },
};

test("a schema checks what is stored and what is read", async () => {
  const bucket = await bucketOf({}, { schema: order });
  await bucket.put("a", { qty: 1 });
  assert.deepEqual((await bucket.get("a")).value, { qty: 1, note: "" });
  const invalid = await problem("invalid-value", bucket.put("a", { qty: 1.5 }));
  assert.equal(invalid.message, "qty: is no integer");
  assert.deepEqual(invalid.issues[0].path, ["qty"]);
  await client.bucket(bucket.name).put("b", { qty: "two" });
  await problem("invalid-value", bucket.get("b"));
  await problem("invalid-value", bucket.update("b", (value) => value));
  const { value: page } = await bucket.entries().next();
  assert.deepEqual(page.entries.map(({ issues }) => issues?.length), [undefined, 1]);
  await problem("invalid-value", bucket.transact([{ op: "put", key: "a", value: {} }]));
});

test("a signal ends a request, and what waits between two attempts", async () => {
  const bucket = await bucketOf();
  const aborted = AbortSignal.abort(new Error("by the page"));
  for (const promise of [
    bucket.get("a", { signal: aborted }),
    bucket.put("a", 1, { signal: aborted }),
    bucket.delete("a", { signal: aborted }),
    bucket.update("a", () => 1, { signal: aborted }),
    bucket.list({ signal: aborted }).next(),
    bucket.entries({ signal: aborted }).next(),
    bucket.history("a", { signal: aborted }),
    bucket.transact([], { signal: aborted }),
    bucket.watch({ signal: aborted }).next(),
  ]) {
    await assert.rejects(promise, /by the page/);
  }
  assert.equal(await bucket.get("a"), undefined);
});
