/** Tests that the Map is the bucket, by fetch, against a scripted gateway on a real socket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { liveMap } from "../dist/kvgateway.js";
import { block, put, removal, scripted, stream, sync, until } from "./scripted.js";
import { values, watched } from "./watched.js";

test("the first snapshot shows at sync, in one call; then each change by itself", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), put("b", 2, 2)])]);
  const { live, statuses, calls, reached } = watched(t, gateway.url);
  await reached("syncing");
  await until("the events are there", () => live.lastEventId === "2-e1");
  assert.equal(live.map.size, 0);
  assert.equal(live.save(), null);
  gateway.responses[0].write(
    sync(2) + put("a", 3, 10) + removal("delete", "b", 4) + removal("purge", "zzz", 5),
  );
  await live.ready;
  await until("the last event", () => live.lastEventId === "5-e1");
  assert.deepEqual(values(live), { a: 10 });
  assert.deepEqual(
    calls.map(({ cause, keys }) => [cause, keys]),
    [
      ["snapshot", ["a", "b"]],
      ["put", ["a"]],
      ["delete", ["b"]],
    ],
  );
  assert.deepEqual(calls[0].shown, { a: 1, b: 2 });
  assert.equal(calls[1].changes[0].previous.value, 1);
  assert.equal(calls[2].changes[0].entry, undefined);
  assert.deepEqual(
    statuses.map(({ status }) => status),
    ["syncing", "live"],
  );
  assert.deepEqual(gateway.requests[0].query, {
    heartbeat: "15s", removals: "event", digest: "true",
  });
});

test("values are JSON, text or bytes, with their metadata", async (t) => {
  const bytes = {
    value: undefined,
    base64: "AP8K",
    content_type: "image/png",
    size: 3,
    expires: "2999-01-01T00:00:00Z",
  };
  const gateway = await scripted(t, [
    stream([
      put("json", 1, { qty: 2 }),
      put("null", 2, null),
      put("text", 3, undefined, { text: "" }),
      put("bytes", 4, undefined, bytes),
      sync(4),
    ]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(values(live), {
    json: { qty: 2 },
    null: null,
    text: "",
    bytes: Uint8Array.of(0, 255, 10),
  });
  const { value, ...entry } = live.map.get("bytes");
  assert.deepEqual(entry, {
    bucket: "shop",
    key: "bytes",
    revision: 4,
    epoch: "e1",
    created: "2026-01-01T00:00:00Z",
    expires: "2999-01-01T00:00:00Z",
    size: 3,
    contentType: "image/png",
  });
});

test("reset: what was shown stays until sync, and only the differences are told", async (t) => {
  const gateway = await scripted(t, [
    stream([put("same", 1, "s"), put("old", 2, "o"), put("both", 3, 1), sync(3)]),
  ]);
  const { live, statuses, calls } = watched(t, gateway.url);
  await live.ready;
  const same = live.map.get("same");
  const before = values(live);
  gateway.responses[0].write(
    block("reset", "", { bucket: "shop", reason: "purged" }) +
      put("same", 1, "s") +
      put("both", 9, 2, { id: "0.9-e1" }),
  );
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
    stream([
      put("a", 1, "old"),
      sync(1),
      block("reset", "", { bucket: "shop", reason: "epoch" }),
      put("a", 1, "new", { epoch: "e2", id: "1-e2" }),
      sync(1, { id: "1-e2" }),
    ]),
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

test("a cut right behind reset: what was shown stays until the whole has come", async (t) => {
  const gateway = await scripted(t, [
    stream(
      [
        put("a", 1, 1),
        put("b", 2, 2),
        sync(2),
        block("reset", "0.9-e1", { bucket: "shop", reason: "horizon" }),
      ],
      { cut: true },
    ),
    stream([put("b", 2, 2, { id: "2.9-e1" })]),
  ]);
  const { live, calls } = watched(t, gateway.url);
  await until("the second connection", () => live.lastEventId === "2.9-e1");
  assert.equal(gateway.requests[1].headers["last-event-id"], "0.9-e1");
  assert.deepEqual(values(live), { a: 1, b: 2 });
  gateway.responses[1].write(sync(9));
  await until("the whole", () => live.status === "live");
  assert.deepEqual(values(live), { b: 2 });
  assert.deepEqual(
    calls.map(({ cause, keys }) => [cause, keys]),
    [
      ["snapshot", ["a", "b"]],
      ["reset", ["a"]],
    ],
  );
});

test("a snapshot that is cut begins anew if the gateway says so, or without an id", async (t) => {
  const gateway = await scripted(t, [
    stream([block("put", "", { bucket: "shop", key: "gone", revision: 1, epoch: "e1" })], {
      cut: true,
    }),
    stream([put("a", 2, 1, { id: "2.9-e1" })], { cut: true }),
    stream([block("reset", "", { bucket: "shop", reason: "horizon" }), put("b", 3, 3), sync(3)]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.equal(gateway.requests[1].headers["last-event-id"], undefined);
  assert.deepEqual(values(live), { b: 3 });
});

test("without an id the next connection begins anew; what is shown stays", async (t) => {
  const noId = { id: "" };
  const gateway = await scripted(t, [
    stream([put("half", 1, 1, noId)], { cut: true }),
    stream([put("a", 2, 1, noId), sync(2).replace(/^id: .*\n/m, "")], { cut: true }),
    stream([put("b", 3, 1, noId)]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(values(live), { a: 1 });
  await until(
    "the third connection",
    () => gateway.requests.length === 3 && live.status === "syncing",
  );
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
    stream([put("a", 1, 1), sync(1), ": heartbeat\nid: 50-e1\n\n"], { end: true }),
    stream(
      [
        block("bookmark", "50-e1", { bucket: "shop", revision: 50, exact: false }),
        sync(50),
        ": heartbeat\n",
        block("bookmark", "60-e1", { bucket: "shop", revision: 60, exact: true }),
      ],
      { end: true },
    ),
    stream([put("a", 61, 2), sync(61)]),
  ]);
  const { live, statuses } = watched(t, gateway.url);
  await until("the third connection", () => live.map.get("a")?.value === 2);
  assert.deepEqual(
    gateway.requests.map(({ headers }) => headers["last-event-id"]),
    [undefined, "50-e1", "60-e1"],
  );
  await until("live", () => live.status === "live");
  assert.deepEqual(
    statuses.map(({ status }) => status),
    ["syncing", "live", "reconnecting", "syncing", "live", "reconnecting", "syncing", "live"],
  );
});

test("bucket-deleted empties the Map; a bucket created again fills it by reset", async (t) => {
  const gateway = await scripted(t, [
    stream([
      put("a", 1, 1),
      put("b", 2, 2),
      sync(2),
      block("bucket-deleted", "3-e1", { bucket: "shop" }),
    ]),
  ]);
  const { live, calls, reached } = watched(t, gateway.url);
  await reached("deleted");
  assert.equal(live.map.size, 0);
  assert.deepEqual([calls[1].cause, calls[1].keys], ["bucket-deleted", ["a", "b"]]);
  gateway.responses[0].write(
    block("reset", "", { bucket: "shop", reason: "epoch" }) +
      put("a", 1, 7, { epoch: "e2", id: "1-e2" }) +
      sync(1, { id: "1-e2" }),
  );
  await reached("live");
  assert.deepEqual(values(live), { a: 7 });
});

test("an event that is not newer than what is known changes nothing", async (t) => {
  const gateway = await scripted(t, [
    stream([
      put("a", 5, "new"),
      put("b", 6, "b"),
      sync(6),
      put("a", 5, "again"),
      put("a", 4, "old"),
      removal("delete", "a", 3),
      removal("delete", "b", 7),
      put("b", 6, "back"),
      put("c", 8, "c"),
    ]),
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
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), put("b", 2, 2), sync(2)]),
    stream([removal("delete", "a", 3), sync(3)]),
  ]);
  const first = watched(t, gateway.url);
  await first.live.ready;
  const saved = structuredClone(first.live.save());
  first.live.close();
  const { live, calls } = watched(t, gateway.url, { saved });
  assert.deepEqual(values(live), { a: 1, b: 2 });
  await live.ready;
  assert.deepEqual(values(live), { b: 2 });
  assert.equal(gateway.requests[1].headers["last-event-id"], "2-e1");
  assert.deepEqual(
    calls.map(({ cause, keys }) => [cause, keys]),
    [["delete", ["a"]]],
  );
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
  gateway.responses[0].write(
    block("reset", "", { bucket: "shop", reason: "ahead" }) +
      put("x", 2, 2, config) +
      put("y", 2, 2) +
      sync(2),
  );
  await until("the reset is over", () => live.map.has("shop/y"));
  assert.deepEqual(values(live), { "config/a/b": "c", "config/x": 2, "shop/y": 2 });
  gateway.responses[0].write(block("bucket-deleted", "", config));
  await until("it is gone", () => live.map.size === 1);
  assert.equal(live.status, "live");
  gateway.responses[0].write(block("bucket-deleted", "", { bucket: "shop" }));
  await reached("deleted");
});

test("unknown events, and those of a bucket not asked for, change nothing", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)])]);
  const { live, statuses, reached } = watched(t, `${gateway.origin}/watch?watch=shop`);
  await reached("live");
  const told = statuses.length;
  const other = { bucket: "other" };
  gateway.responses[0].write(
    block("renamed", "1-e1", other) + put("x", 2, 2, other) + sync(2, other) + put("b", 2, 2),
  );
  await until("the last event", () => live.map.size === 2);
  assert.deepEqual(Object.keys(values(live)), ["shop/a", "shop/b"]);
  assert.equal(live.status, "live");
  assert.equal(statuses.length, told);
  assert.notEqual(live.save(), null);
});

test("events=message: the name is in the data", async (t) => {
  const gateway = await scripted(t, [
    stream([
      block("", "1-e1", {
        event: "put",
        bucket: "shop",
        key: "a",
        revision: 1,
        epoch: "e1",
        value: 1,
      }),
      block("", "1-e1", { event: "sync", bucket: "shop", revision: 1 }),
    ]),
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
