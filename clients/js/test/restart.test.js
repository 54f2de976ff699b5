/** Tests what a client keeps and reports while the gateway is killed and started again. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createClient } from "../dist/kvgateway.js";
import { Gateway } from "../../../test/browser/harness.js";
import { until } from "./scripted.js";
import { values } from "./watched.js";

let gateway, client;
before(async () => {
  gateway = await Gateway.start();
  client = createClient({ url: gateway.url, stream: { retry: 50, maxRetry: 200 } });
});
after(() => gateway?.stop());

async function restart() {
  await gateway.kill();
  await gateway.run();
}

/** What a bucket has, read key by key. */
async function state(bucket) {
  const read = {};
  for await (const { keys } of bucket.list()) {
    for (const key of keys) read[key] = (await bucket.get(key)).value;
  }
  return read;
}

test("updates that are under way at a kill are stored once, or reported as unknown", async () => {
  await gateway.createBucket("counted");
  const bucket = client.bucket("counted");
  let [stored, unknown] = [0, 0];
  const increment = async () => {
    for (let i = 0; i < 30; i++) {
      await bucket.update("counter", (n = 0) => n + 1).then(
        () => stored++,
        ({ code }) => {
          assert.ok(["outcome-unknown", "unreachable"].includes(code), code);
          if (code === "outcome-unknown") unknown++;
        },
      );
    }
  };
  const writers = [increment(), increment(), increment()];
  await until("some are stored", () => stored > 5);
  await restart();
  await Promise.all(writers);
  const { value } = await bucket.get("counter");
  assert.ok(value >= stored && value <= stored + unknown, `${value}: ${stored} and ${unknown}`);
});

test("changes made while the gateway is away are shown, and stored once it is back", async (t) => {
  await gateway.createBucket("away");
  const bucket = client.bucket("away");
  await bucket.put("a", 1);
  await bucket.put("gone", 1);
  const live = bucket.liveMap();
  t.after(() => live.close());
  await live.ready;
  await gateway.kill();
  const writes = [live.put("a", 2), live.put("a", 3), live.put("new", 1), live.delete("gone")];
  assert.deepEqual(values(live), { a: 3, new: 1 });
  await until("it is known", () => live.status === "reconnecting");
  await gateway.run();
  await Promise.all(writes);
  const isPending = () => [...live.map.values()].some(({ pending }) => pending);
  await until("it is confirmed", () => live.status === "live" && !isPending());
  assert.deepEqual(values(live), { a: 3, new: 1 });
  assert.deepEqual(await state(bucket), { a: 3, new: 1 });
  assert.equal((await bucket.history("a")).at(-1).revision, live.map.get("a").revision);
});

test("a live map is the bucket, key by key, after writes through a restart", async (t) => {
  await gateway.createBucket("compared");
  const bucket = client.bucket("compared");
  for (let i = 0; i < 30; i++) await bucket.put(`k.${i}`, i);
  const live = bucket.liveMap();
  t.after(() => live.close());
  await live.ready;
  await restart();
  for (let i = 0; i < 30; i += 3) await bucket.delete(`k.${i}`);
  for (let i = 1; i < 30; i += 3) await bucket.put(`k.${i}`, "changed");
  const { revision } = await bucket.put("last", true);
  await until("the last", () => live.map.get("last")?.revision === revision);
  await until("live", () => live.status === "live");
  assert.deepEqual(values(live), await state(bucket));
});
