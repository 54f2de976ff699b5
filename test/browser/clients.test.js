/** Runs clients of event streams in Node.js, and curl, against the gateway. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { EventSource } from "eventsource";
import { createEventSource } from "eventsource-client";
import { liveMap } from "../../clients/js/dist/kvgateway.js";
import { Gateway, until } from "./harness.js";

let gateway;
before(async () => {
  gateway = await Gateway.start();
});
after(() => gateway?.stop());

const watchOf = (bucket, query = "") => `${gateway.url}/buckets/${bucket}/watch?heartbeat=1s${query}`;
const values = (live) => Object.fromEntries([...live.map].map(([key, { value }]) => [key, value]));

/** Reads the state of a bucket key by key. */
async function state(bucket) {
  const { keys } = await gateway.send("GET", `/buckets/${bucket}/keys`);
  const entries = await Promise.all(keys.map((key) => gateway.send("GET", `/buckets/${bucket}/entries/${key}`)));
  return Object.fromEntries(entries.map(({ key, value }) => [key, value]));
}

/** Kills the gateway, and starts it again on the same port and data. */
async function restart() {
  await gateway.kill();
  await gateway.run();
}

test("liveMap: a snapshot, changes, a kill, a bucket deleted and created again", async (t) => {
  const bucket = "live";
  await gateway.createBucket(bucket);
  for (let i = 0; i < 50; i++) await gateway.put(bucket, `a.${i}`, i);
  const resets = [];
  const onStatus = (status, { event, reason }) => event === "reset" && resets.push(reason);
  const live = liveMap(watchOf(bucket), { retry: 100, maxRetry: 500, onStatus });
  t.after(() => live.close());
  await live.ready;
  assert.deepEqual(values(live), await state(bucket));

  await gateway.put(bucket, "a.0", "changed");
  await gateway.remove(bucket, "a.1");
  await until("the changes", () => live.map.get("a.0").value === "changed" && !live.map.has("a.1"));

  await restart();
  await gateway.put(bucket, "after", true);
  await gateway.remove(bucket, "a.2");
  await until("what was missed", () => live.map.has("after") && !live.map.has("a.2"));
  assert.deepEqual(values(live), await state(bucket));

  await gateway.send("DELETE", `/buckets/${bucket}`);
  await until("empty", () => live.status === "deleted" && live.map.size === 0);
  await gateway.createBucket(bucket);
  await gateway.put(bucket, "a.0", "of the new bucket");
  await until("the new bucket", () => live.map.get("a.0")?.value === "of the new bucket" && live.status === "live");
  assert.ok(resets.includes("epoch"), `resets: ${resets}`);
});

test("liveMap of several buckets, one of which comes later", async (t) => {
  await gateway.createBucket("several");
  await gateway.put("several", "x.1", 1);
  await gateway.put("several", "y.1", 1);
  const live = liveMap(`${gateway.url}/watch?watch=several:x.>&watch=later`, { retry: 100 });
  t.after(() => live.close());
  await live.ready;
  await until("the one that is there", () => live.map.size === 1);
  await gateway.createBucket("later");
  await gateway.put("later", "a/b", 2);
  await until("both", () => live.map.size === 2);
  assert.deepEqual(values(live), { "several/x.1": 1, "later/a/b": 2 });
});

test("liveMap: a missing bucket is for good, and says why", async () => {
  const live = liveMap(watchOf("missing"));
  await assert.rejects(live.ready, { name: "StreamError", status: 404 });
  assert.equal(live.status, "failed");
});

test("liveMap goes on from what was saved, in another process as it were", async (t) => {
  await gateway.createBucket("saved");
  await gateway.put("saved", "a", 1);
  await gateway.put("saved", "b", 2);
  const first = liveMap(watchOf("saved"));
  await first.ready;
  const saved = structuredClone(first.save());
  first.close();
  await gateway.remove("saved", "a");
  const calls = [];
  const second = liveMap(watchOf("saved"), { saved, onChange: (changes, cause) => calls.push([cause, changes[0].key]) });
  t.after(() => second.close());
  await second.ready;
  assert.deepEqual(values(second), { b: 2 });
  assert.deepEqual(calls, [["delete", "a"]]);
});

test("bytes arrive exactly", async (t) => {
  await gateway.createBucket("bytes");
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  await gateway.send("PUT", "/buckets/bytes/keys/all", bytes, { "Content-Type": "application/octet-stream" });
  await gateway.send("PUT", "/buckets/bytes/keys/text", "a\r\nb\n\nc\u2028d", { "Content-Type": "text/plain" });
  const live = liveMap(watchOf("bytes"));
  t.after(() => live.close());
  await live.ready;
  assert.deepEqual(values(live), { all: bytes, text: "a\r\nb\n\nc\u2028d" });
});

test("entries of a bucket with a time to live go without an event", async (t) => {
  await gateway.createBucket("short", { ttl: "2s" });
  const live = liveMap(watchOf("short"));
  t.after(() => live.close());
  await live.ready;
  await gateway.put("short", "a", 1);
  await until("it is there", () => live.map.has("a"));
  const { created, expires } = live.map.get("a");
  assert.equal(Math.round((Date.parse(expires) - Date.parse(created)) / 100), 20);
  await until("it is gone", () => !live.map.has("a"));
  assert.ok(Date.now() >= Date.parse(expires));
});

test("a writer, and a gateway that is killed again and again: at rest the Map is the bucket", async (t) => {
  await gateway.createBucket("storm");
  const changes = new Map(); // The fold of all calls of onChange.
  const fold = (list) => list.forEach(({ key, entry }) => (entry ? changes.set(key, entry.value) : changes.delete(key)));
  const live = liveMap(watchOf("storm"), { retry: 50, maxRetry: 200, onChange: fold });
  t.after(() => live.close());
  await live.ready;
  let writing = true;
  const writer = (async () => {
    for (let i = 0; writing; i++) {
      const key = `k.${(i * 7) % 40}`;
      const write = i % 5 === 4 ? gateway.remove("storm", key) : gateway.put("storm", key, i);
      // The gateway may have been killed, or have no such key.
      await write.catch(() => new Promise((resolve) => setTimeout(resolve, 20)));
    }
  })();
  for (let kill = 0; kill < 6; kill++) {
    await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 1500));
    await restart();
  }
  writing = false;
  await writer;
  await gateway.put("storm", "last", true);
  await until("the last", () => live.map.has("last"));
  const want = await state("storm");
  assert.deepEqual(values(live), want);
  assert.deepEqual(Object.fromEntries(changes), want);
});

/** Checks that a client sees each event once while the gateway is killed and started again. */
async function seenThroughRestart(bucket, open) {
  await gateway.createBucket(bucket);
  await gateway.put(bucket, "a", 1);
  const revisions = [];
  const empty = []; // A client that calls back for each block must be given an event each time.
  const close = open((event, data) => {
    if (!event || !data) empty.push([event, data]);
    else if (event === "put") revisions.push(JSON.parse(data).revision);
  });
  try {
    await until("the first", () => revisions.length === 1);
    await restart();
    await gateway.put(bucket, "b", 2);
    await until("the second", () => revisions.length >= 2);
    await gateway.put(bucket, "c", 3);
    await until("the third", () => revisions.length >= 3);
    assert.deepEqual(revisions, [1, 2, 3], "each once, in order, without a snapshot in between");
    assert.deepEqual(empty, []);
  } finally {
    close();
  }
}

test("the npm package eventsource resumes by itself", () =>
  seenThroughRestart("npm-eventsource", (seen) => {
    const source = new EventSource(watchOf("npm-eventsource"));
    source.addEventListener("put", ({ type, data }) => seen(type, data));
    return () => source.close();
  }));

test("the npm package eventsource-client resumes by itself", () =>
  seenThroughRestart("npm-client", (seen) => {
    const source = createEventSource({ url: watchOf("npm-client"), onMessage: ({ event, data }) => seen(event, data) });
    return () => source.close();
  }));

test("curl -N shows a stream as it comes, and goes on with Last-Event-ID", async () => {
  await gateway.createBucket("curl");
  await gateway.put("curl", "a", 1);
  const follow = (...args) => {
    const lines = [];
    const curl = spawn("curl", ["-sN", watchOf("curl"), "-H", "Accept: text/event-stream", ...args]);
    createInterface({ input: curl.stdout }).on("line", (line) => lines.push(line));
    return { lines, stop: () => curl.kill() };
  };
  const first = follow();
  await until("sync", () => first.lines.includes("event: sync"));
  await gateway.put("curl", "b", 2);
  await until("the change, at once", () => first.lines.some((line) => line.includes('"key":"b"')));
  first.stop();
  const id = first.lines.findLast((line) => line.startsWith("id: ")).slice(4);
  await gateway.put("curl", "c", 3);
  const second = follow("-H", `Last-Event-ID: ${id}`);
  await until("sync again", () => second.lines.includes("event: sync"));
  second.stop();
  const keys = second.lines.filter((line) => line.startsWith("data: ")).map((line) => JSON.parse(line.slice(6)).key);
  assert.deepEqual(keys.filter(Boolean), ["c"]);
});
