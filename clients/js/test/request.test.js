/** Tests which requests are sent again, and what is said if they fail. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Problem, createClient } from "../dist/kvgateway.js";
import { refuse, scripted } from "./scripted.js";

const cut = (request) => request.socket.destroy();
const json = (body, status = 200) => (request, response) => {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
};
const page = (status) => (request, response) =>
  response.writeHead(status, { "Content-Type": "text/html" }).end("<p>proxy");
const problem = (code, status, headers) =>
  refuse(status, headers, { type: `/problems/${code}`, title: "t", status, detail: code });
const entry = json({ bucket: "b", key: "k", revision: 1, epoch: "e1", size: 1, value: 1 });
const written = json({ bucket: "b", key: "k", revision: 1, epoch: "e1" });

async function bucketOf(t, steps, options = {}) {
  const gateway = await scripted(t, steps);
  return { gateway, bucket: createClient({ url: gateway.origin, ...options }).bucket("b") };
}

/** Checks with which code and status a promise rejects. */
const rejects = (promise, code, status) => assert.rejects(promise, { code, status });

test("a read is sent again after what passes", async (t) => {
  const failures = [cut, problem("nats-unavailable", 503), page(502), page(504),
    problem("timeout", 504), problem("overloaded", 429)];
  await Promise.all(failures.map(async (failure) => {
    const { gateway, bucket } = await bucketOf(t, [failure, failure, entry]);
    assert.equal((await bucket.get("k")).value, 1);
    assert.equal(gateway.requests.length, 3);
  }));
});

test("a read is not sent again after what does not pass", async (t) => {
  for (const [code, status] of [["forbidden", 403], ["invalid-key", 400], ["epoch-changed", 409],
    ["revision-not-reached", 504]]) {
    const { gateway, bucket } = await bucketOf(t, [problem(code, status)]);
    await rejects(bucket.get("k"), code, status);
    assert.equal(gateway.requests.length, 1);
  }
});

test("a read gives up after the retries, and says that nobody answered", async (t) => {
  const { gateway, bucket } = await bucketOf(t, [cut, cut, cut], { retries: 1 });
  const error = await bucket.get("k").catch((e) => e);
  assert.ok(error instanceof Problem);
  assert.equal(error.code, "unreachable");
  assert.match(error.message, /127\.0\.0\.1/);
  assert.equal(gateway.requests.length, 2);
});

test("an unconditional write whose answer was lost is not sent again", async (t) => {
  for (const failure of [cut, page(502), page(504), problem("outcome-unknown", 504),
    problem("internal", 500)]) {
    const { gateway, bucket } = await bucketOf(t, [failure, written]);
    await assert.rejects(bucket.put("k", 1), { code: "outcome-unknown" });
    assert.equal(gateway.requests.length, 1);
    assert.equal(gateway.requests[0].headers["idempotency-key"], undefined);
  }
});

test("a write of which the gateway says that nothing was done is sent again", async (t) => {
  const failures = [problem("nats-unavailable", 503), problem("overloaded", 429),
    problem("timeout", 504), problem("write-contention", 503)];
  await Promise.all(failures.map(async (failure) => {
    const { gateway, bucket } = await bucketOf(t, [failure, written]);
    assert.equal((await bucket.put("k", 1)).revision, 1);
    assert.equal(gateway.requests.length, 2);
  }));
});

test("a write with a key or a condition is sent again, with the same key", async (t) => {
  const writes = [{ idempotencyKey: "mine" }, { ifMatch: 1 }, { ifNoneMatch: "*" }].flatMap(
    (options) => [["put", {}, options], ["patch", {}, options], ["delete", options]],
  );
  await Promise.all(writes.map(async ([method, ...rest]) => {
    const { gateway, bucket } = await bucketOf(t, [cut, page(502), written]);
    assert.equal((await bucket[method]("k", ...rest)).revision, 1);
    const keys = gateway.requests.map(({ headers }) => headers["idempotency-key"]);
    assert.ok(keys[0]);
    assert.deepEqual(keys, [keys[0], keys[0], keys[0]]);
  }));
  const { gateway, bucket } = await bucketOf(t, [cut]);
  const without = bucket.put("k", 1, { ifMatch: 1, idempotencyKey: false });
  await assert.rejects(without, { code: "outcome-unknown" });
  assert.equal(gateway.requests.length, 1);
});

test("a refusal after a lost answer leaves the outcome unknown", async (t) => {
  for (const [code, status] of [["revision-mismatch", 412], ["forbidden", 403]]) {
    const { bucket } = await bucketOf(t, [cut, problem(code, status)]);
    const error = await bucket.put("k", 1, { ifMatch: 1 }).catch((e) => e);
    assert.equal(error.code, "outcome-unknown");
    assert.equal(error.cause.code, code);
  }
});

test("a transaction whose answer was lost is found out to be stored", async (t) => {
  const done = { revision: 7, epoch: "e1", results: [{ key: "k", revision: 7 }] };
  const applied = refuse(409, {}, { type: "/problems/already-applied", status: 409, ...done });
  const { gateway, bucket } = await bucketOf(t, [cut, applied]);
  const result = await bucket.transact([{ op: "put", key: "k", value: 1 }]);
  assert.deepEqual(result.results, done.results);
  const [first, second] = gateway.requests.map(({ headers }) => headers["idempotency-key"]);
  assert.equal(first, second);
});

test("Retry-After is waited for, unless it is too long", async (t) => {
  const wait = (seconds) => problem("nats-unavailable", 503, { "Retry-After": String(seconds) });
  const { gateway, bucket } = await bucketOf(t, [wait(1), entry]);
  await bucket.get("k");
  assert.ok(gateway.requests[1].at - gateway.requests[0].at >= 990);
  const late = await bucketOf(t, [wait(3600), entry]);
  const error = await late.bucket.get("k").catch((e) => e);
  assert.equal(error.retryAfter, 3600_000);
  assert.equal(late.gateway.requests.length, 1);
});

test("a request without an answer is given up in time", async (t) => {
  const silent = () => {};
  const options = { timeout: 100, retries: 1 };
  const { gateway, bucket } = await bucketOf(t, [silent, silent, silent], options);
  await rejects(bucket.get("k"), "unreachable", undefined);
  assert.equal(gateway.requests.length, 2);
  await rejects(bucket.put("k", 1), "outcome-unknown", undefined);
  assert.equal(gateway.requests.length, 3);
});

test("a signal ends a request that is under way, and a wait between two", async (t) => {
  const steps = [() => {}, problem("busy", 503, { "Retry-After": "5" })];
  const { gateway, bucket } = await bucketOf(t, steps);
  for (const n of [1, 2]) {
    const abort = new AbortController();
    const promise = bucket.get("k", { signal: abort.signal });
    while (gateway.requests.length < n) await new Promise((done) => setTimeout(done, 5));
    setTimeout(() => abort.abort(new Error("by the page")), 50);
    await assert.rejects(promise, /by the page/);
  }
  assert.equal(gateway.requests.length, 2);
});

test("an answer that is not the gateway's is not taken for one", async (t) => {
  const { gateway, bucket } = await bucketOf(t, [page(200), page(404), page(200)]);
  await rejects(bucket.get("k"), "unexpected-answer", 200);
  await rejects(bucket.get("k"), "unexpected-answer", 404);
  await rejects(bucket.put("k", 1, { ifMatch: 1 }), "outcome-unknown");
  assert.equal(gateway.requests.length, 3);
});

test("a gateway that is not there yet gets an unconditional write once it is", async (t) => {
  const server = createServer((request, response) => written(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  t.after(() => server.close());
  const bucket = createClient({ url: `http://127.0.0.1:${port}` }).bucket("b");
  const promise = bucket.put("k", 1);
  setTimeout(() => server.listen(port, "127.0.0.1"), 100);
  assert.equal((await promise).revision, 1);
  server.closeAllConnections();
});

test("the credential is asked for before each request, and the base path stays", async (t) => {
  const { gateway, bucket } = await bucketOf(t, [cut, entry]);
  let asked = 0;
  const client = createClient({ url: `${gateway.origin}/kv`, token: async () => `t${++asked}` });
  await client.bucket("b").get("k");
  assert.deepEqual(gateway.requests.map(({ headers }) => headers.authorization),
    ["Bearer t1", "Bearer t2"]);
  assert.equal(gateway.requests[1].url.pathname, "/kv/buckets/b/entries/k");
  assert.equal(bucket.name, "b");
});

test("a relative address where there is no page is refused, and says why", () => {
  assert.throws(() => createClient({ url: "/kv" }), /"\/kv" is relative, and there is no page/);
});

test("a page's address is what a relative one is resolved against", (t) => {
  globalThis.location = { href: "https://app.example.com/page/" };
  t.after(() => delete globalThis.location);
  assert.equal(createClient({ url: "/kv" }).url.href, "https://app.example.com/kv/");
});

test("the codes of problems are those of the contract", () => {
  const contract = readFileSync(new URL("../../../api/openapi.yaml", import.meta.url), "utf8");
  const [, list] = /x-problem-codes:\n((?: {8}[a-z-]+: \d+\n)+)/.exec(contract);
  const codes = [...list.matchAll(/([a-z-]+):/g)].map(([, code]) => code);
  const source = readFileSync(new URL("../src/problem.ts", import.meta.url), "utf8");
  const [, union] = /type GatewayCode =([^;]+);/.exec(source);
  const typed = [...union.matchAll(/"([a-z-]+)"/g)].map(([, code]) => code);
  assert.ok(codes.length > 50);
  assert.deepEqual(typed.sort(), codes.sort());
});
