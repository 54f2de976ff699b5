/** Tests the async iterator of a watch, against the built gateway. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createClient } from "../dist/kvgateway.js";
import { Gateway } from "../../../test/browser/harness.js";
import { block, put, refuse, scripted, stream, sync } from "./scripted.js";

let gateway, client;
before(async () => {
  gateway = await Gateway.start();
  client = createClient({ url: gateway.url, stream: { retry: 50, maxRetry: 200 } });
});
after(() => gateway?.stop());

/** Takes events until one of a kind has come, and returns their names and keys. */
async function until(kind, events) {
  const taken = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done) assert.fail(`it ended before ${kind}: ${taken}`);
    if (value.event !== "bookmark") taken.push([value.event, value.key].filter(Boolean).join(" "));
    if (value.event === kind) return { taken, value };
  }
}

test("watch gives the state, sync, then each change, over a restart of the gateway", async () => {
  await gateway.createBucket("watched");
  const bucket = client.bucket("watched");
  await bucket.put("a", { n: 1 });
  await bucket.put("other", 1);
  const events = bucket.watch({ filter: ["a", "b"] });
  const { taken } = await until("sync", events);
  assert.deepEqual(taken, ["put a", "sync"]);
  await bucket.put("b", "two");
  const { value } = await until("put", events);
  assert.deepEqual([value.key, value.value, value.revision], ["b", "two", 3]);

  await gateway.kill();
  await gateway.run();
  await bucket.put("other", 2);
  await bucket.delete("a");
  const { value: missed } = await until("delete", events);
  assert.deepEqual([missed.key, missed.revision], ["a", 5]);
  await events.return();
  const later = bucket.watch({ filter: ["a", "b"], after: value.id });
  const again = await until("delete", later);
  await later.return();
  assert.equal(again.taken.at(-1), "delete a");
});

test("watch can begin with what changes from now on, and ends by a signal", async () => {
  await gateway.createBucket("updates");
  const bucket = client.bucket("updates");
  await bucket.put("a", 1);
  const abort = new AbortController();
  const events = bucket.watch({ updatesOnly: true, signal: abort.signal });
  assert.equal((await events.next()).value.event, "bookmark");
  await bucket.put("b", 1);
  assert.deepEqual((await until("put", events)).taken, ["put b"]);
  const next = events.next();
  abort.abort(new Error("by the page"));
  await assert.rejects(next, /by the page/);
  assert.equal((await events.next()).done, true);
});

test("watch rejects with what refuses it for good", async () => {
  await assert.rejects(client.bucket("missing").watch().next(), { code: "bucket-not-found" });
  await gateway.createBucket("filtered");
  const wrong = client.bucket("filtered").watch({ filter: "user*" }).next();
  await assert.rejects(wrong, { code: "invalid-filter", status: 400 });
});

test("a watch that is not read reads no further itself", async (t) => {
  let sent = 0;
  const flood = async (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const text = "x".repeat(1000);
    const send = () => {
      while (sent < 100_000) {
        sent++;
        if (!response.write(put(`k.${sent}`, sent, text))) return response.once("drain", send);
      }
      response.write(sync(sent));
    };
    send();
  };
  const scriptedGateway = await scripted(t, [flood]);
  const events = createClient({ url: scriptedGateway.origin }).bucket("shop").watch();
  await events.next();
  let before;
  do {
    before = sent;
    await new Promise((resolve) => setTimeout(resolve, 200));
  } while (sent > before);
  assert.ok(sent < 50_000, `${sent} events were sent to a watch that took one`);
  let last;
  for await (const { event, revision } of events) {
    last = revision;
    if (event === "sync") break;
  }
  assert.equal(last, 100_000);
});

test("a passing refusal and a goaway are gone through", async (t) => {
  const scriptedGateway = await scripted(t, [
    refuse(503),
    stream([put("a", 1, 1), block("goaway", "1-e1", { reason: "max-age" })], { end: true }),
    stream([put("b", 2, 2), sync(2)]),
  ]);
  const { origin: url } = scriptedGateway;
  const events = createClient({ url, stream: { retry: 10 } }).bucket("shop").watch();
  assert.deepEqual((await until("sync", events)).taken, ["put a", "goaway", "put b", "sync"]);
  await events.return();
  assert.equal(scriptedGateway.requests[2].headers["last-event-id"], "1-e1");
});
