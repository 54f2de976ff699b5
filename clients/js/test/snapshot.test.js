/** Tests what a view library sees of a live map, its digest, and keys that are gone. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { digestOf } from "../build/digest.js";
import { createClient } from "../dist/kvgateway.js";
import { block, put, removal, scripted, stream, sync, until } from "./scripted.js";
import { values, watched } from "./watched.js";

const bookmark = (revision, more = {}) =>
  block("bookmark", `${revision}-e1`, { bucket: "shop", revision, exact: true, ...more });

test("a snapshot is the same object until something changes, and does not change", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, { n: 1 }), put("b", 2, 2), sync(2)])]);
  const { live } = watched(t, gateway.url);
  let calls = 0;
  const leave = live.subscribe(() => calls++);
  const empty = live.getSnapshot();
  assert.equal(live.getSnapshot(), empty);
  await live.ready;
  const first = live.getSnapshot();
  assert.equal(first.status, "live");
  assert.deepEqual([...first.map.keys()], ["a", "b"]);
  assert.equal(empty.map.size, 0);
  assert.equal(live.getSnapshot(), first);
  gateway.responses[0].write(bookmark(2) + put("b", 3, 3));
  await until("b", () => live.map.get("b").value === 3);
  const second = live.getSnapshot();
  assert.notEqual(second, first);
  assert.equal(second.map.get("a"), first.map.get("a"), "what has not changed is shared");
  assert.equal(first.map.get("b").value, 2);
  const before = calls;
  leave();
  gateway.responses[0].write(put("b", 4, 4));
  await until("b again", () => live.map.get("b").value === 4);
  assert.equal(calls, before);
});

test("a snapshot whose status alone has changed shares its Map", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)])]);
  const { live, reached } = watched(t, gateway.url);
  await live.ready;
  const first = live.getSnapshot();
  gateway.responses[0].write(block("stale", "", { bucket: "shop" }));
  await reached("stale");
  assert.equal(live.getSnapshot().status, "stale");
  assert.equal(live.getSnapshot().map, first.map);
});

test("after a sleep it is not shown as live, and connects again", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1)]),
    stream([put("a", 2, 2), sync(2)]),
  ]);
  let slept = 0;
  const { live, statuses } = watched(t, gateway.url, {
    now: () => Date.now() + slept,
    idleTimeout: 60_000,
  });
  await live.ready;
  const before = live.getSnapshot();
  slept = 3600_000;
  assert.equal(live.status, "reconnecting");
  assert.equal(live.getSnapshot().status, "reconnecting");
  assert.equal(live.getSnapshot(), live.getSnapshot());
  assert.equal(before.status, "live");
  gateway.responses[0].write(bookmark(1)); // What was under way does not make it live.
  await until("it connected again", () => live.map.get("a").value === 2);
  assert.match(statuses.find(({ error }) => error).error.message, /nothing was heard/);
  assert.equal(gateway.requests[1].headers["last-event-id"], "1-e1");
  await until("live", () => live.status === "live");
});

test("the clock is looked at when the page is shown again", async (t) => {
  const page = new EventTarget();
  globalThis.document = page;
  t.after(() => delete globalThis.document);
  const gateway = await scripted(t, [stream([sync(1)]), stream([sync(1)])]);
  let slept = 0;
  const { live } = watched(t, gateway.url, { now: () => Date.now() + slept, idleTimeout: 60_000 });
  await live.ready;
  page.dispatchEvent(new Event("visibilitychange"));
  assert.equal(live.status, "live");
  slept = 61_000;
  page.dispatchEvent(new Event("visibilitychange"));
  await until("it connected again", () => gateway.requests.length === 2);
});

test("a network that is back is used at once", async (t) => {
  const page = new EventTarget();
  globalThis.document = page;
  t.after(() => delete globalThis.document);
  const gateway = await scripted(t, [stream([sync(1)], { cut: true }), stream([sync(1)])]);
  const { live, statuses } = watched(t, gateway.url.replace(/$/, "?x=1"), { maxRetry: 3600_000 });
  await live.ready;
  await until("it is down", () => statuses.some(({ retryIn }) => retryIn));
  page.dispatchEvent(new Event("online"));
  await until("it connected again", () => gateway.requests.length === 2);
});

test("removed drops what is held at that revision or before, and nothing newer", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), put("b", 2, 2), put("c", 5, 5), sync(5)]),
  ]);
  const { live, calls } = watched(t, gateway.url);
  await live.ready;
  const removed = [["a", 1], ["b", 3], ["c", 4], ["never", 9]];
  const event = block("removed", "5-e1", {
    bucket: "shop", removed: removed.map(([key, revision]) => ({ key, revision })),
  });
  gateway.responses[0].write(event + event);
  await until("they are gone", () => live.map.size === 1);
  assert.deepEqual(values(live), { c: 5 });
  assert.deepEqual([calls.at(-1).cause, calls.at(-1).keys], ["removed", ["a", "b"]]);
});

test("removed within a snapshot concerns the snapshot", async (t) => {
  const removed = block("removed", "", { bucket: "shop", removed: [{ key: "a", revision: 1 }] });
  const gateway = await scripted(t, [stream([put("a", 1, 1), put("b", 2, 2), removed, sync(2)])]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(values(live), { b: 2 });
});

// FNV-1a, as http://www.isthe.com/chongo/tech/comp/fnv/ has it, on numbers of any size.
function digestByBigInt(entries) {
  let sum = 0n;
  for (const { key, revision } of entries) {
    let hash = 0xcbf29ce484222325n;
    for (const byte of new TextEncoder().encode(`${key}\n${revision}`)) {
      hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    }
    sum = BigInt.asUintN(64, sum + hash);
  }
  return `${entries.length}-${sum.toString(16).padStart(16, "0")}`;
}

test("the digest is the sum of FNV-1a of what does not expire", () => {
  assert.equal(digestOf([]), "0-0000000000000000");
  const entries = [];
  for (let i = 0; i < 500; i++) {
    entries.push({ key: `orders.${i}/${"x".repeat(i % 40)}`, revision: i * i * 7919 + 1 });
    assert.equal(digestOf(entries), digestByBigInt(entries));
  }
  const expiring = { key: "e", revision: 1, expires: "2999-01-01T00:00:00Z" };
  assert.equal(digestOf([...entries, expiring]), digestByBigInt(entries));
});

test("the digest is that of the gateway's test vectors", async () => {
  const file = new URL("../../../api/digest-vectors.json", import.meta.url);
  const vectors = JSON.parse(await readFile(file, "utf8"));
  assert.ok(vectors.length > 0);
  for (const { entries, digest } of vectors) assert.equal(digestOf(entries), digest);
});

test("what is not what the digest says is fetched anew, once", async (t) => {
  const right = digestByBigInt([{ key: "a", revision: 1 }]);
  const gateway = await scripted(t, [
    stream([
      put("a", 1, 1), sync(1, { digest: right }), put("b", 2, 2), bookmark(3, { digest: right }),
    ]),
    stream([put("a", 1, 1), sync(3, { digest: right })]),
  ]);
  const { live, statuses } = watched(t, gateway.url);
  await until("the second connection", () => gateway.requests.length === 2);
  assert.equal(gateway.requests[1].headers["last-event-id"], undefined);
  await until("it is repaired", () => live.status === "live" && live.map.size === 1);
  const told = statuses.filter(({ event }) => event === "digest");
  assert.deepEqual(told.map(({ bucket, error }) => [bucket, error]), [["shop", undefined]]);
});

test("a digest that differs again is reported, and not repaired for ever", async (t) => {
  const wrong = "9-0000000000000000";
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1, { digest: wrong })]),
    stream([put("a", 1, 1), sync(1, { digest: wrong }), bookmark(2, { digest: wrong })]),
  ]);
  const { live, statuses, calls } = watched(t, gateway.url);
  const isReport = ({ event, error }) => event === "digest" && error;
  await until("it is reported", () => statuses.some(isReport));
  await until("the last bookmark", () => live.lastEventId === "2-e1");
  assert.equal(gateway.requests.length, 2);
  assert.equal(live.status, "stale");
  assert.ok(statuses.every(({ status }) => status !== "live"));
  assert.deepEqual(calls.map(({ keys }) => keys), [["a"]]);
  const right = digestByBigInt([{ key: "a", revision: 1 }]);
  gateway.responses[1].write(bookmark(3, { digest: right }));
  await live.ready;
  assert.equal(live.status, "live");
});

test("a bucket whose digests differ is not live, and those beside it are", async (t) => {
  const config = { bucket: "config" };
  const wrong = { digest: "9-0000000000000000" };
  const events = [put("a", 1, 1), put("a", 1, 1, config), sync(1, wrong)];
  const gateway = await scripted(t, [
    stream(events), stream([...events, sync(1, config)]),
  ]);
  const { live, statuses } = watched(t, `${gateway.origin}/watch?watch=shop&watch=config`);
  const reports = () => statuses.filter(({ error, event }) => event === "digest" && error);
  await until("it is reported", () => reports().length === 1);
  gateway.responses[1].write(block("stale", "", config) + block("live", "", config));
  await until("the other is told", () => statuses.at(-1).status === "stale");
  assert.equal(reports()[0].bucket, "shop");
  assert.ok(statuses.every(({ status }) => status !== "live"));
  // A gateway that gives no digest any more leaves nothing in doubt.
  gateway.responses[1].write(bookmark(2));
  await live.ready;
});

test("a digest at a point that is not exact is not compared", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1, { exact: false, digest: "9-0" }), put("b", 2, 2)]),
  ]);
  const { live } = watched(t, gateway.url);
  await until("both", () => live.map.size === 2);
  assert.equal(gateway.requests.length, 1);
});

test("the options of a bucket's live map are those of its watch", async (t) => {
  const gateway = await scripted(t, [stream([removal("delete", "a", 1), sync(1)])]);
  const bucket = createClient({ url: gateway.origin }).bucket("shop", { values: "base64" });
  const live = bucket.liveMap({ filter: ["a", "b.>"], heartbeat: "9s", digest: false });
  t.after(() => live.close());
  await live.ready;
  assert.deepEqual([...gateway.requests[0].url.searchParams].sort(), [
    ["digest", "false"], ["filter", "a"], ["filter", "b.>"], ["heartbeat", "9s"],
    ["removals", "event"], ["values", "base64"],
  ]);
});
