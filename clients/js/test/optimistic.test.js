/** Tests local changes of a live map, against a gateway whose answers and events a test times. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Conflict, createClient } from "../dist/kvgateway.js";
import { block, put, refuse, removal, scripted, sync, until } from "./scripted.js";
import { values } from "./watched.js";

/** Starts a gateway with one stream, and a live map of it. Writes wait in `writes`. */
async function opened(t, first = [put("a", 1, "base"), sync(1)]) {
  const writes = [];
  const reads = [];
  let events;
  const open = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(first.join(""));
    events = response;
  };
  const gateway = await scripted(t, ({ method, url }) => {
    if (url.includes("/watch")) return open;
    if (method === "GET") return (_, response) => reads.shift()(_, response);
    return (request, response) => writes.push({ request, response, url, method });
  });
  const calls = [];
  const client = createClient({ url: gateway.origin, retries: 0, stream: { retry: 20 } });
  const live = client.bucket("shop").liveMap({
    onChange: (changes, cause) => calls.push([cause, ...changes.map(({ key }) => key)].join(" ")),
  });
  t.after(() => live.close());
  await live.ready;
  calls.length = 0;
  return {
    live, calls, writes, reads,
    say: (...blocks) => events.write(blocks.join("")),
    written: async (n) => (await until(`write ${n}`, () => writes.length >= n), writes[n - 1]),
  };
}

const answer = (response, status, body) => {
  const type = status < 300 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "Content-Type": type });
  response.end(JSON.stringify(body));
};
const stored = (response, revision, epoch = "e1") =>
  answer(response, 200, { bucket: "shop", key: "a", revision, epoch });
const mismatch = (response, current) =>
  answer(response, 412, {
    type: "/problems/revision-mismatch", title: "t", status: 412, detail: "theirs is newer",
    current_revision: current,
  });
const entry = (key, revision, value) => (_, response) =>
  answer(response, 200, {
    bucket: "shop", key, revision, epoch: "e1", operation: "put", created: "2026", size: 1, value,
  });
const bookmark = (revision, more = {}) =>
  block("bookmark", `${revision}-e1`, { bucket: "shop", revision, exact: true, ...more });

test("a change shows at once, and until the stream has brought it", async (t) => {
  const { live, calls, say, written } = await opened(t);
  const promise = live.put("a", "mine");
  assert.equal(live.map.get("a").value, "mine");
  assert.equal(live.map.get("a").pending, true);
  assert.equal(live.map.get("a").revision, 1);
  const { request, response } = await written(1);
  assert.equal(request.headers["if-match"], '"1-e1"');
  assert.ok(request.headers["idempotency-key"]);
  stored(response, 5);
  assert.equal((await promise).revision, 5);
  assert.equal(live.map.get("a").pending, true);
  assert.equal(live.map.get("a").revision, 5);
  say(put("other", 4, 1), put("a", 5, "mine"));
  await until("confirmed", () => !live.map.get("a").pending);
  assert.deepEqual(values(live), { a: "mine", other: 1 });
  assert.deepEqual(calls, ["local a", "stored a", "put other", "confirmed a"]);
});

test("the stream may be faster than the answer", async (t) => {
  const { live, say, written } = await opened(t);
  const promise = live.put("a", "mine");
  const { response } = await written(1);
  say(put("a", 5, "mine"), put("b", 6, 1));
  await until("the events", () => live.map.has("b"));
  assert.equal(live.map.get("a").pending, true, "not before the answer");
  stored(response, 5);
  await promise;
  assert.equal(live.map.get("a").pending, undefined);
  assert.equal(live.map.get("a").revision, 5);
});

test("what never comes by itself is confirmed at an exact point", async (t) => {
  for (const [text, shown] of [
    [put("a", 7, "theirs"), { a: "theirs" }], // It was overwritten.
    [removal("delete", "a", 7), {}],
    [bookmark(7), { a: "base" }], // A filter excludes it.
  ]) {
    const { live, say, written } = await opened(t);
    const promise = live.put("a", "mine");
    stored((await written(1)).response, 5);
    await promise;
    say(bookmark(4), bookmark(9, { exact: false }), put("b", 6, 1));
    await until("these do not count", () => live.map.has("b"));
    assert.equal(live.map.get("a").value, "mine");
    say(text);
    await until("confirmed", () => !live.map.get("a")?.pending);
    const { b, ...rest } = values(live);
    assert.deepEqual(rest, shown);
    live.close();
  }
});

test("a refused change is taken back, with theirs and yours", async (t) => {
  const { live, calls, say, written, reads } = await opened(t);
  const promise = live.put("a", "mine");
  const later = live.put("a", "on top of it");
  say(put("a", 3, "theirs"));
  const { response } = await written(1);
  reads.push(entry("a", 3, "theirs"), entry("a", 3, "theirs"));
  mismatch(response, 3);
  const error = await promise.catch((e) => e);
  assert.ok(error instanceof Conflict, String(error));
  assert.equal(error.code, "revision-mismatch");
  assert.equal(error.status, 412);
  assert.equal(error.theirs.value, "theirs");
  assert.equal(error.yours, "mine");
  assert.equal(error.base.value, "base");
  await assert.rejects(later);
  await until("theirs is shown", () => live.map.get("a").value === "theirs");
  assert.equal(live.map.get("a").pending, undefined);
  assert.deepEqual(calls.slice(0, 2), ["local a", "local a"]);
  assert.ok(calls.includes("rollback a"));
});

test("changes of one key are sent one after the other, each on top of the last", async (t) => {
  const { live, say, written, writes } = await opened(t);
  const promises = [live.put("a", 1), live.delete("a"), live.put("a", 2)];
  assert.deepEqual(values(live), { a: 2 });
  stored((await written(1)).response, 5);
  const second = await written(2);
  assert.equal(second.method, "DELETE");
  assert.equal(second.request.headers["if-match"], '"5-e1"');
  say(put("a", 5, 1));
  assert.equal(writes.length, 2);
  stored(second.response, 6);
  const third = await written(3);
  assert.equal(third.request.headers["if-match"], '"6-e1"');
  stored(third.response, 7);
  await Promise.all(promises);
  assert.deepEqual(values(live), { a: 2 });
  say(removal("delete", "a", 6), put("a", 7, 2));
  await until("confirmed", () => !live.map.get("a")?.pending);
  assert.deepEqual(values(live), { a: 2 });
});

test("a new key is made only if it has no value; a failure takes it away again", async (t) => {
  const { live, written } = await opened(t);
  const promise = live.put("new", 1);
  const { request, response } = await written(1);
  assert.equal(request.headers["if-none-match"], "*");
  refuse(507)(request, response);
  await assert.rejects(promise, { status: 507 });
  assert.equal(live.map.has("new"), false);
});

test("a change whose outcome is unknown stays, and is sent again with the same key", async (t) => {
  const { live, say, written } = await opened(t);
  const promise = live.put("a", "mine");
  const first = await written(1);
  first.response.socket.destroy();
  const second = await written(2);
  assert.equal(live.map.get("a").value, "mine");
  refuse(504)(second.request, second.response);
  const third = await written(3);
  const keyOf = ({ request }) => request.headers["idempotency-key"];
  assert.deepEqual([keyOf(second), keyOf(third)], [keyOf(first), keyOf(first)]);
  stored(third.response, 5);
  await promise;
  say(put("a", 5, "mine"));
  await until("confirmed", () => !live.map.get("a").pending);
});

test("a refusal after a lost answer says that the outcome is unknown", async (t) => {
  const { live, written, reads } = await opened(t);
  const promise = live.put("a", "mine");
  (await written(1)).response.socket.destroy();
  const { response } = await written(2);
  reads.push(entry("a", 9, "theirs"));
  mismatch(response, 9);
  const error = await promise.catch((e) => e);
  assert.ok(error instanceof Conflict);
  assert.equal(error.code, "outcome-unknown");
  assert.equal(error.theirs.value, "theirs");
});

test("local changes stay through a reset and a lost connection", async (t) => {
  const { live, say, written } = await opened(t);
  const promise = live.put("a", "mine");
  const { response } = await written(1);
  say(block("reset", "", { bucket: "shop", reason: "purged" }), put("a", 2, "x"), sync(2));
  await until("the snapshot", () => live.lastEventId === "2-e1");
  assert.equal(live.map.get("a").value, "mine");
  assert.deepEqual(live.save().entries.map(({ value }) => value), ["x"], "what is kept is theirs");
  stored(response, 5);
  await promise;
  say(put("a", 5, "mine"));
  await until("confirmed", () => !live.map.get("a").pending);
});

test("a bucket that is created again takes what was stored in the old one", async (t) => {
  const { live, say, written } = await opened(t);
  const promise = live.put("a", "mine");
  stored((await written(1)).response, 5);
  await promise;
  const made = { bucket: "shop", reason: "epoch" };
  say(block("bucket-deleted", "", { bucket: "shop" }));
  await until("it is gone", () => live.map.size === 0);
  say(block("reset", "", made), put("a", 1, "new", { epoch: "e2", id: "1-e2" }),
    sync(1, { id: "1-e2" }));
  await until("the new one", () => live.map.get("a")?.value === "new");
  assert.equal(live.map.get("a").pending, undefined);
});

test("a point before a reset confirms nothing that is stored after it", async (t) => {
  const { live, say, written } = await opened(t, [put("a", 1, "base"), sync(100)]);
  const promise = live.put("a", "mine");
  say(block("reset", "", { bucket: "shop", reason: "ahead" }), put("a", 1, "base"));
  await until("the reset", () => live.status === "syncing");
  stored((await written(1)).response, 5); // The bucket has lost its end.
  await promise;
  assert.equal(live.map.get("a").value, "mine");
  say(sync(1), put("a", 5, "mine"));
  await until("confirmed", () => !live.map.get("a").pending);
  assert.equal(live.map.get("a").revision, 5);
});

test("close gives local changes up, and says that their outcome is unknown", async (t) => {
  const { live, written } = await opened(t);
  const promise = live.put("a", "mine");
  await written(1);
  live.close();
  await assert.rejects(promise, { code: "outcome-unknown" });
  assert.equal(live.map.get("a").value, "mine", "what was shown stays");
});

test("with a signal that is aborted already, a live map is closed from the start", async () => {
  const bucket = createClient({ url: "http://127.0.0.1:9" }).bucket("shop");
  const live = bucket.liveMap({ signal: AbortSignal.abort() });
  assert.equal(live.status, "closed");
  await assert.rejects(live.ready, /closed/);
  await assert.rejects(live.put("a", "mine"), /closed/);
});
