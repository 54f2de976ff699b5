/** Tests what liveMap promises, by fetch, against a scripted gateway on a real socket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveMap } from "../live-map.js";
import { block, put, refuse, removal, scripted, stream, sync, until } from "./scripted.js";

/** Makes a live map, and records what its callbacks are given. */
function watched(t, url, options = {}) {
  const statuses = [];
  const calls = [];
  const live = liveMap(url, {
    EventSource: null,
    retry: 20,
    onStatus: (status, detail) => statuses.push({ status, ...detail }),
    onChange: (changes, cause) => calls.push({ cause, keys: changes.map(({ key }) => key), changes, shown: values(live) }),
    ...options,
  });
  t.after(() => live.close());
  return { live, statuses, calls, reached: (status) => until(status, () => live.status === status) };
}

const values = (live) => Object.fromEntries([...live.map].map(([key, { value }]) => [key, value]));

test("the first snapshot shows at sync, in one call; then each change by itself", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), put("b", 2, 2)])]);
  const { live, statuses, calls, reached } = watched(t, gateway.url);
  await reached("syncing");
  await until("the events are there", () => live.lastEventId === "2-e1");
  assert.equal(live.map.size, 0);
  assert.equal(live.save(), null);
  gateway.responses[0].write(sync(2) + put("a", 3, 10) + removal("delete", "b", 4) + removal("purge", "zzz", 5));
  await live.ready;
  await until("the last event", () => live.lastEventId === "5-e1");
  assert.deepEqual(values(live), { a: 10 });
  assert.deepEqual(calls.map(({ cause, keys }) => [cause, keys]), [["snapshot", ["a", "b"]], ["put", ["a"]], ["delete", ["b"]]]);
  assert.deepEqual(calls[0].shown, { a: 1, b: 2 });
  assert.equal(calls[1].changes[0].previous.value, 1);
  assert.equal(calls[2].changes[0].entry, undefined);
  assert.deepEqual(statuses.map(({ status }) => status), ["syncing", "live"]);
  assert.equal(gateway.requests[0].query.bookmarks, "event");
});

test("values are JSON, text or bytes, with their metadata", async (t) => {
  const bytes = { value: undefined, base64: "AP8K", content_type: "image/png", size: 3, expires: "2999-01-01T00:00:00Z" };
  const gateway = await scripted(t, [
    stream([put("json", 1, { qty: 2 }), put("null", 2, null), put("text", 3, undefined, { text: "" }), put("bytes", 4, undefined, bytes), sync(4)]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(values(live), { json: { qty: 2 }, null: null, text: "", bytes: Uint8Array.of(0, 255, 10) });
  const { value, ...entry } = live.map.get("bytes");
  assert.deepEqual(entry, {
    bucket: "shop", key: "bytes", revision: 4, epoch: "e1", created: "2026-01-01T00:00:00Z",
    expires: "2999-01-01T00:00:00Z", size: 3, contentType: "image/png",
  });
});

test("reset: what was shown stays until sync, then one step, and only the differences are told", async (t) => {
  const gateway = await scripted(t, [stream([put("same", 1, "s"), put("old", 2, "o"), put("both", 3, 1), sync(3)])]);
  const { live, statuses, calls } = watched(t, gateway.url);
  await live.ready;
  const same = live.map.get("same");
  const before = values(live);
  gateway.responses[0].write(block("reset", "", { bucket: "shop", reason: "purged" }) + put("same", 1, "s") + put("both", 9, 2, { id: "0.9-e1" }));
  await until("the snapshot is on its way", () => live.lastEventId === "0.9-e1");
  assert.deepEqual(values(live), before);
  assert.equal(live.status, "syncing");
  gateway.responses[0].write(put("new", 10, "n") + sync(10));
  await until("live again", () => live.status === "live");
  assert.deepEqual(values(live), { same: "s", both: 2, new: "n" });
  assert.equal(live.map.get("same"), same, "an entry of the same revision stays the same object");
  assert.deepEqual([calls[1].cause, calls[1].keys.sort()], ["reset", ["both", "new", "old"]]);
  assert.equal(statuses.find(({ event }) => event === "reset").reason, "purged");
});

test("the same revisions of another epoch are other entries", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, "old"), sync(1), block("reset", "", { bucket: "shop", reason: "epoch" }), put("a", 1, "new", { epoch: "e2", id: "1-e2" }), sync(1, { id: "1-e2" })]),
  ]);
  const { live } = watched(t, gateway.url);
  await until("the new value", () => live.map.get("a")?.value === "new");
  assert.equal(live.map.get("a").epoch, "e2");
});

test("a snapshot that is cut goes on where it was", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1, { id: "1.9-e1" }), put("b", 2, 2, { id: "2.9-e1" })], { cut: true }),
    stream([put("c", 3, 3, { id: "3.9-e1" }), removal("delete", "a", 10), sync(10)]),
  ]);
  const { live, calls, statuses } = watched(t, gateway.url);
  await live.ready;
  assert.equal(gateway.requests[1].headers["last-event-id"], "2.9-e1");
  assert.deepEqual(values(live), { b: 2, c: 3 });
  assert.equal(calls.length, 1);
  assert.equal(statuses[1].status, "connecting");
});

test("a cut right behind reset: the id of the reset brings the whole, and what was shown stays until then", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), put("b", 2, 2), sync(2), block("reset", "0.9-e1", { bucket: "shop", reason: "horizon" })], { cut: true }),
    stream([put("b", 2, 2, { id: "2.9-e1" })]),
  ]);
  const { live, calls } = watched(t, gateway.url);
  await until("the second connection", () => live.lastEventId === "2.9-e1");
  assert.equal(gateway.requests[1].headers["last-event-id"], "0.9-e1");
  assert.deepEqual(values(live), { a: 1, b: 2 });
  gateway.responses[1].write(sync(9));
  await until("the whole", () => live.status === "live");
  assert.deepEqual(values(live), { b: 2 });
  assert.deepEqual(calls.map(({ cause, keys }) => [cause, keys]), [["snapshot", ["a", "b"]], ["reset", ["a"]]]);
});

test("a snapshot that is cut begins anew where the gateway says so, or where there was no id", async (t) => {
  const gateway = await scripted(t, [
    stream([block("put", "", { bucket: "shop", key: "gone", revision: 1, epoch: "e1" })], { cut: true }),
    stream([put("a", 2, 1, { id: "2.9-e1" })], { cut: true }),
    stream([block("reset", "", { bucket: "shop", reason: "horizon" }), put("b", 3, 3), sync(3)]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.equal(gateway.requests[1].headers["last-event-id"], undefined);
  assert.deepEqual(values(live), { b: 3 });
});

test("without an id the next connection begins at the beginning, and what is shown stays until it is complete", async (t) => {
  const noId = { id: "" };
  const gateway = await scripted(t, [
    stream([put("half", 1, 1, noId)], { cut: true }),
    stream([put("a", 2, 1, noId), sync(2).replace(/^id: .*\n/m, "")], { cut: true }),
    stream([put("b", 3, 1, noId)]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(values(live), { a: 1 });
  await until("the third connection", () => gateway.requests.length === 3 && live.status === "syncing");
  assert.equal(gateway.requests[2].headers["last-event-id"], undefined);
  gateway.responses[2].write(put("c", 4, 1) + sync(4));
  await until("the whole", () => live.status === "live");
  assert.deepEqual(values(live), { b: 1, c: 1 });
});

test("a cut in the middle of a block takes nothing of it", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1), put("b", 2, 2).slice(0, -1)], { cut: true }),
    stream([put("b", 2, 2), sync(2)]),
  ]);
  const { live } = watched(t, gateway.url);
  await until("both", () => live.map.size === 2);
  assert.equal(gateway.requests[1].headers["last-event-id"], "1-e1");
});

test("a bookmark, bare or not, moves the id that the next connection sends", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1), "id: 50-e1\n: heartbeat\n\n"], { end: true }),
    stream([sync(50), block("bookmark", "60-e1", { bucket: "shop", revision: 60, exact: true })], { end: true }),
    stream([put("a", 61, 2), sync(61)]),
  ]);
  const { live, statuses } = watched(t, gateway.url);
  await until("the third connection", () => live.map.get("a")?.value === 2);
  assert.deepEqual(gateway.requests.map(({ headers }) => headers["last-event-id"]), [undefined, "50-e1", "60-e1"]);
  await until("live", () => live.status === "live");
  assert.deepEqual(statuses.map(({ status }) => status), ["syncing", "live", "reconnecting", "syncing", "live", "reconnecting", "syncing", "live"]);
});

test("bucket-deleted empties the Map; a bucket created again fills it by reset", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), put("b", 2, 2), sync(2), block("bucket-deleted", "3-e1", { bucket: "shop" })])]);
  const { live, calls, reached } = watched(t, gateway.url);
  await reached("deleted");
  assert.equal(live.map.size, 0);
  assert.deepEqual([calls[1].cause, calls[1].keys], ["bucket-deleted", ["a", "b"]]);
  gateway.responses[0].write(block("reset", "", { bucket: "shop", reason: "epoch" }) + put("a", 1, 7, { epoch: "e2", id: "1-e2" }) + sync(1, { id: "1-e2" }));
  await reached("live");
  assert.deepEqual(values(live), { a: 7 });
});

test("entries that vanish without a marker are dropped at their time", async (t) => {
  const soon = new Date(Date.now() + 300).toISOString();
  const past = new Date(Date.now() - 1000).toISOString();
  const gateway = await scripted(t, [
    stream([put("stays", 1, 1), put("far", 2, 2, { expires: "2999-01-01T00:00:00Z" }), put("soon", 3, 3, { expires: soon }), put("past", 4, 4, { expires: past }), put("renewed", 5, 5, { expires: soon }), sync(5), put("renewed", 6, 6)]),
  ]);
  const { live, calls } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(calls[0].keys, ["stays", "far", "soon", "renewed"]);
  await until("it expired", () => !live.map.has("soon"));
  assert.ok(Date.now() >= Date.parse(soon), "not before its time");
  assert.deepEqual([...live.map.keys()], ["stays", "far", "renewed"]);
  assert.deepEqual([calls.at(-1).cause, calls.at(-1).keys], ["expire", ["soon"]]);
});

test("one timer sees to all that expire, the early one first", async (t) => {
  const at = (ms) => ({ expires: new Date(Date.now() + ms).toISOString() });
  const gateway = await scripted(t, [stream([put("c", 1, 1, at(600)), put("a", 2, 2, at(200)), put("b", 3, 3, at(400)), sync(3)])]);
  const { live, calls } = watched(t, gateway.url);
  await live.ready;
  await until("all expired", () => live.map.size === 0);
  assert.deepEqual(calls.slice(1).map(({ cause, keys }) => [cause, ...keys]), [["expire", "a"], ["expire", "b"], ["expire", "c"]]);
});

test("expiry is by the clock that is given", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1, { expires: new Date(Date.now() + 60_000).toISOString() }), sync(1)])]);
  const { live } = watched(t, gateway.url, { now: () => Date.now() + 59_900 });
  await live.ready;
  await until("it expired", () => live.map.size === 0);
});

test("an event that is not newer than what is known changes nothing", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 5, "new"), put("b", 6, "b"), sync(6), put("a", 5, "again"), put("a", 4, "old"), removal("delete", "a", 3), removal("delete", "b", 7), put("b", 6, "back"), put("c", 8, "c")]),
  ]);
  const { live } = watched(t, gateway.url);
  await until("the last event", () => live.map.has("c"));
  assert.deepEqual(values(live), { a: "new", c: "c" });
});

test("stale and live", async (t) => {
  const gateway = await scripted(t, [stream([sync(1), block("stale", "", { bucket: "shop" })])]);
  const { live, reached } = watched(t, gateway.url);
  await reached("stale");
  gateway.responses[0].write(block("live", "", { bucket: "shop" }));
  await reached("live");
  gateway.responses[0].write(block("stale", "", { bucket: "shop" }));
  await reached("stale");
  gateway.responses[0].write(block("bucket-deleted", "", { bucket: "shop" }));
  await reached("deleted");
  assert.equal(live.map.size, 0);
});

for (const status of [400, 401, 403, 404, 409]) {
  test(`${status} is for good`, async (t) => {
    const gateway = await scripted(t, [refuse(status)]);
    const { live, statuses } = watched(t, gateway.url);
    await assert.rejects(live.ready, { name: "StreamError", status, message: `why ${status}` });
    assert.equal(live.status, "failed");
    assert.equal(statuses.at(-1).problem.status, status);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(gateway.requests.length, 1);
  });
}

for (const status of [408, 429, 500, 502, 503, 504]) {
  test(`${status} passes`, async (t) => {
    const gateway = await scripted(t, [refuse(status), refuse(status), stream([put("a", 1, 1), sync(1)])]);
    const { live, statuses } = watched(t, gateway.url);
    await live.ready;
    assert.equal(gateway.requests.length, 3);
    assert.equal(statuses[0].error.status, status);
    assert.ok(statuses[1].retryIn > statuses[0].retryIn * 0.9, "the waits grow");
  });
}

test("Retry-After is waited for", async (t) => {
  const gateway = await scripted(t, [refuse(503, { "Retry-After": "1" }), stream([sync(1)])]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.ok(gateway.requests[1].at - gateway.requests[0].at >= 990);
});

test("an answer that is no event stream passes; a gateway that is not there does too", async (t) => {
  const page = (request, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>log in");
  const gateway = await scripted(t, [(request) => request.socket.destroy(), page, stream([sync(1)])]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.equal(gateway.requests.length, 3);
});

test("a problem in a stream: one of 4xx is for good, another passes", async (t) => {
  const problem = (status) => block("problem", "", { status, title: "t", detail: `why ${status}` });
  const gateway = await scripted(t, [
    stream([problem(503)], { end: true }),
    stream([put("a", 1, 1), sync(1), problem(403)], { end: true }),
  ]);
  const { live, reached, statuses } = watched(t, gateway.url);
  await reached("failed");
  assert.deepEqual(statuses.at(-1).problem, { status: 403, title: "t", detail: "why 403" });
  assert.deepEqual(values(live), { a: 1 }, "what was known stays");
});

test("goaway says why; the next connection goes on", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1), block("goaway", "1-e1", { reason: "shutdown" })], { end: true }),
    stream([put("b", 2, 2), sync(2)]),
  ]);
  const { live, statuses } = watched(t, gateway.url);
  await until("both", () => live.map.size === 2);
  assert.equal(statuses.find(({ event }) => event === "goaway").reason, "shutdown");
  assert.equal(gateway.requests[1].headers["last-event-id"], "1-e1");
});

test("data that is no JSON is asked for again, from the last id that was understood", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1), "event: put\nid: 2-e1\ndata: {\n\n", put("c", 3, 3)]),
    stream([put("b", 2, 2), put("c", 3, 3), sync(3)]),
  ]);
  const { live } = watched(t, gateway.url);
  await until("all", () => live.map.size === 3);
  assert.equal(gateway.requests[1].headers["last-event-id"], "1-e1");
});

test("a connection that says nothing counts as broken", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)]), stream([put("a", 2, 2), sync(2)])]);
  const { live } = watched(t, gateway.url, { idleTimeout: 150 });
  await until("it connected again", () => live.map.get("a")?.value === 2);
  assert.equal(gateway.requests[1].headers["last-event-id"], "1-e1");
});

test("a connection on which events take long to come gets longer each time", async (t) => {
  const late = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.flushHeaders();
    setTimeout(() => response.write(put("a", 1, 1) + sync(1)), 250);
  };
  const gateway = await scripted(t, Array(20).fill(late));
  const { live } = watched(t, gateway.url, { idleTimeout: 100 });
  await until("an event", () => live.map.get("a")?.value === 1);
  assert.ok(gateway.requests.length > 1);
});

test("events of another bucket do not shorten the wait for a large one", async (t) => {
  const late = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(block("sync", "b=1-e1", { bucket: "b", revision: 1, exact: true }));
    setTimeout(() => response.write(block("sync", "b=1-e1,shop=1-e1", { bucket: "shop", revision: 1, exact: true })), 250);
  };
  const gateway = await scripted(t, Array(20).fill(late));
  const { reached } = watched(t, `${gateway.origin}/watch?watch=shop&watch=b`, { idleTimeout: 100 });
  await reached("live");
  assert.ok(gateway.requests.length > 1);
});

test("a url that never comes is asked for again", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)])]);
  let asked = 0;
  const { live, statuses } = watched(t, () => (++asked === 1 ? new Promise(() => {}) : gateway.url), { idleTimeout: 100 });
  await until("it connected", () => live.map.get("a")?.value === 1);
  assert.equal(asked, 2);
  assert.match(statuses[0].error.message, /nothing was heard/);
});

test("headers are asked for before every connection", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)], { end: true }), stream([sync(1)])]);
  let asked = 0;
  watched(t, gateway.url, { EventSource: undefined, headers: async () => ({ Authorization: `Bearer ${++asked}` }) });
  await until("two connections", () => gateway.requests.length === 2);
  assert.deepEqual(gateway.requests.map(({ headers }) => headers.authorization), ["Bearer 1", "Bearer 2"]);
});

test("a url that is a function is asked before every connection", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)], { end: true }), stream([sync(1)])]);
  let ticket = 0;
  watched(t, async () => `${gateway.url}?ticket=${++ticket}`);
  await until("two connections", () => gateway.requests.length === 2);
  assert.deepEqual(gateway.requests.map(({ query }) => query.ticket), ["1", "2"]);
});

test("close ends it, and so does a signal; what was known stays", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)])]);
  const abort = new AbortController();
  const { live, statuses } = watched(t, gateway.url, { signal: abort.signal });
  await live.ready;
  abort.abort();
  assert.equal(live.status, "closed");
  live.close();
  assert.equal(statuses.filter(({ status }) => status === "closed").length, 1);
  await until("the connection ended", () => gateway.responses[0].destroyed);
  assert.equal(live.map.size, 1);
  const late = watched(t, gateway.url, { signal: abort.signal });
  await assert.rejects(late.live.ready, /closed/);
  assert.equal(gateway.requests.length, 1);
});

test("what save returned is where another one begins", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), put("b", 2, 2), sync(2)]), stream([removal("delete", "a", 3), sync(3)])]);
  const first = watched(t, gateway.url);
  await first.live.ready;
  const saved = structuredClone(first.live.save());
  first.live.close();
  const { live, calls } = watched(t, gateway.url, { saved });
  assert.deepEqual(values(live), { a: 1, b: 2 });
  await live.ready;
  assert.deepEqual(values(live), { b: 2 });
  assert.equal(gateway.requests[1].headers["last-event-id"], "2-e1");
  assert.deepEqual(calls.map(({ cause, keys }) => [cause, keys]), [["delete", ["a"]]]);
});

test("several buckets: keys with the bucket, and resets that leave the others alone", async (t) => {
  const config = { bucket: "config" };
  const gateway = await scripted(t, [
    stream([put("a/b", 1, 1), put("a/b", 1, "c", config), sync(1)]),
  ]);
  const { live, reached } = watched(t, `${gateway.origin}/watch?watch=shop:a.>&watch=config`);
  await until("the one is there", () => live.map.size === 1);
  assert.equal(live.status, "syncing");
  gateway.responses[0].write(sync(1, config));
  await reached("live");
  assert.deepEqual(values(live), { "shop/a/b": 1, "config/a/b": "c" });
  gateway.responses[0].write(block("reset", "", { bucket: "shop", reason: "ahead" }) + put("x", 2, 2, config) + put("y", 2, 2) + sync(2));
  await until("the reset is over", () => live.map.has("shop/y"));
  assert.deepEqual(values(live), { "config/a/b": "c", "config/x": 2, "shop/y": 2 });
  gateway.responses[0].write(block("bucket-deleted", "", config));
  await until("it is gone", () => live.map.size === 1);
  assert.equal(live.status, "live");
  gateway.responses[0].write(block("bucket-deleted", "", { bucket: "shop" }));
  await reached("deleted");
});

test("events=message: the name is in the data", async (t) => {
  const gateway = await scripted(t, [
    stream([block("", "1-e1", { event: "put", bucket: "shop", key: "a", revision: 1, epoch: "e1", value: 1 }), block("", "1-e1", { event: "sync", bucket: "shop", revision: 1 })]),
  ]);
  const { live } = watched(t, `${gateway.url}?events=message`);
  await live.ready;
  assert.deepEqual(values(live), { a: 1 });
});

test("options with which the events are not a state are refused", () => {
  for (const name of ["updates_only", "ignore_deletes", "resume_from_revision"]) {
    assert.throws(() => liveMap(`http://127.0.0.1:1/buckets/b/watch?${name}=1`), TypeError);
  }
});

test("a callback that throws does not stop the stream", async (t) => {
  const thrown = [];
  const queue = globalThis.queueMicrotask;
  t.mock.method(globalThis, "queueMicrotask", (task) =>
    queue(() => {
      try {
        task();
      } catch (error) {
        thrown.push(error.message);
      }
    }),
  );
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1), put("b", 2, 2)])]);
  const { live } = watched(t, gateway.url, {
    onChange: () => {
      throw new Error("of the page");
    },
  });
  await until("both", () => live.map.size === 2);
  assert.deepEqual(thrown, ["of the page", "of the page"]);
  assert.equal(gateway.requests.length, 1);
});

test("a wait that is longer than a timer can hold is no wait of nothing", async (t) => {
  const year = 365 * 24 * 3600;
  for (const step of [refuse(503, { "Retry-After": String(year) }), stream([`retry: ${year * 1000}\n\n`], { end: true })]) {
    const gateway = await scripted(t, [step]);
    const { statuses } = watched(t, gateway.url, { maxRetry: Infinity });
    await until("it is down", () => statuses.some(({ retryIn }) => retryIn > 24 * 3600_000));
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(gateway.requests.length, 1);
  }
  const gateway = await scripted(t, [stream([sync(1)])]);
  const { live } = watched(t, gateway.url, { idleTimeout: Infinity });
  await live.ready;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(gateway.requests.length, 1);
});

test("an entry whose time came while the machine slept is dropped with the next event", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1, { expires: new Date(Date.now() + 3600_000).toISOString() }), sync(1)])]);
  let slept = 0;
  const { live, calls } = watched(t, gateway.url, { now: () => Date.now() + slept });
  await live.ready;
  slept = 2 * 3600_000;
  gateway.responses[0].write(block("bookmark", "2-e1", { bucket: "shop", revision: 2, exact: true }));
  await until("it is dropped", () => live.map.size === 0);
  assert.deepEqual([calls.at(-1).cause, calls.at(-1).keys], ["expire", ["a"]]);
});

test("a time of expiry that cannot be read is none", async (t) => {
  const soon = new Date(Date.now() + 100).toISOString();
  const gateway = await scripted(t, [stream([put("odd", 1, 1, { expires: "some day" }), put("soon", 2, 2, { expires: soon }), sync(2)])]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  await until("the other has expired", () => !live.map.has("soon"));
  assert.deepEqual(values(live), { odd: 1 });
});

test("what is closed leaves nothing with the signal", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)])]);
  const { signal } = new AbortController();
  const listeners = new Set();
  t.mock.method(signal, "addEventListener", (_, listener) => listeners.add(listener));
  t.mock.method(signal, "removeEventListener", (_, listener) => listeners.delete(listener));
  const { live } = watched(t, gateway.url, { signal });
  await live.ready;
  assert.equal(listeners.size, 1);
  live.close();
  assert.equal(listeners.size, 0);
});

test("a removal of an attempt that had no id does not hide what the next one brings", async (t) => {
  const noID = (text) => text.replace(/^id: .*\n/m, "");
  const gateway = await scripted(t, [
    stream([put("a", 1, 1, { id: "" }), noID(removal("delete", "a", 9))], { cut: true }),
    stream([put("b", 3, 1, { id: "" }), put("c", 10, 1, { id: "" }), noID(sync(10))]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(values(live), { b: 1, c: 1 });
});

test("a url that cannot be had, for whatever reason, is asked for again", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)])]);
  const answers = [() => Promise.reject(), () => Promise.reject("no ticket"), () => gateway.url];
  const { live, statuses } = watched(t, () => answers.shift()());
  await live.ready;
  assert.ok(statuses[0].error instanceof Error && statuses[1].error instanceof Error);
});

/** An EventSource that a test drives. It connects nowhere. */
class Source extends EventTarget {
  static CLOSED = 2;
  static opened = [];
  CLOSED = 2;
  readyState = 1;
  constructor(url) {
    super();
    this.url = new URL(url);
    Source.opened.push(this);
  }
  close() {
    this.readyState = 2;
  }
  say(type, lastEventId, data) {
    this.dispatchEvent(Object.assign(new Event(type), { data: JSON.stringify(data), lastEventId }));
  }
  fail(readyState) {
    this.readyState = readyState;
    this.onerror();
  }
}

test("an EventSource that is closed: why is asked from where it had come to", async (t) => {
  const gateway = await scripted(t, [refuse(404)]);
  Source.opened = [];
  const { live, reached } = watched(t, gateway.url, { EventSource: Source });
  await until("it is opened", () => Source.opened.length === 1);
  const [source] = Source.opened;
  source.onopen();
  source.say("sync", "7-e1", { bucket: "shop", revision: 7, exact: true });
  await live.ready;
  source.fail(2);
  await reached("failed");
  assert.equal(source.url.searchParams.get("last_event_id"), null);
  assert.equal(gateway.requests[0].query.last_event_id, "7-e1");
});

test("close() when an EventSource has lost its connection leaves no timer", async (t) => {
  Source.opened = [];
  const { live } = watched(t, "http://127.0.0.1:1/buckets/shop/watch", {
    EventSource: Source,
    onStatus: (status, { error }) => error && status !== "closed" && live.close(),
  });
  await until("it is opened", () => Source.opened.length === 1);
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
  const before = timers();
  Source.opened[0].fail(0);
  assert.equal(live.status, "closed");
  assert.ok(timers() < before, "the timer for silence is gone");
});
