/** Tests what a live map is told after a loss, and by a gateway of an earlier version. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { test } from "node:test";
import { createClient } from "../dist/kvgateway.js";
import { Gateway, until } from "../../../test/browser/harness.js";
import { put, refuse, scripted, stream, sync } from "./scripted.js";
import { values, watched } from "./watched.js";

/** Returns an address that is free. */
async function freeAddress() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return `127.0.0.1:${port}`;
}

/** Purges a key as another tool does, by the protocol of NATS, so that no marker is left. */
async function purge(address, bucket, key) {
  const [host, port] = address.split(":");
  const socket = connect({ host, port: Number(port) }).setEncoding("utf8");
  const body = JSON.stringify({ filter: `$KV.${bucket}.${key}` });
  const subject = `$JS.API.STREAM.PURGE.KV_${bucket}`;
  const publish = `PUB ${subject} answer ${body.length}\r\n${body}\r\n`;
  socket.write(`CONNECT {"verbose":false}\r\nSUB answer 1\r\n${publish}`);
  let got = "";
  for await (const part of socket) {
    got += part;
    if (got.includes("purged")) break; // Which destroys the socket.
  }
  assert.match(got, /"success":true,"purged":1/);
}

test("a loss that heals is told by removed, and not by a reset", async (t) => {
  const nats = await freeAddress();
  const store = await Gateway.start("--embedded-listen", nats);
  t.after(() => store.stop());
  const gateway = await Gateway.start("--nats-url", `nats://${nats}`);
  t.after(() => gateway.stop());
  await store.createBucket("healed", { history: 3 });
  for (const key of ["a", "b", "c"]) await store.put("healed", key, key);

  const statuses = [];
  const causes = [];
  const live = createClient({ url: gateway.url }).bucket("healed").liveMap({
    onStatus: (status, { event }) => statuses.push(status, event),
    onChange: (changes, cause) => causes.push(`${cause} ${changes.map(({ key }) => key)}`),
  });
  t.after(() => live.close());
  await live.ready;

  await store.kill();
  await until("the loss is told", () => live.status === "stale");
  await store.run();
  await purge(nats, "healed", "b");
  await until("it is told", () => live.map.size === 2);
  await store.put("healed", "d", "d");
  await until("it goes on", () => live.map.size === 3 && live.status === "live");

  assert.deepEqual(values(live), { a: "a", c: "c", d: "d" });
  assert.deepEqual(causes.slice(1), ["removed b", "put d"]);
  assert.ok(!statuses.includes("reset") && !statuses.includes("reconnecting"), `${statuses}`);
});

const unknown = refuse(400, {}, { type: "/problems/unknown-parameter", status: 400, detail: "no" });

test("an earlier gateway is asked for what it knows, at once and from then on", async (t) => {
  const gateway = await scripted(t, [
    unknown,
    stream([put("a", 1, 1), sync(1)], { end: true }),
    stream([put("b", 2, 2), sync(2)]),
  ]);
  const { live, statuses } = watched(t, gateway.url);
  await until("both", () => live.map.size === 2);
  assert.deepEqual(gateway.requests.map(({ query }) => Object.keys(query)), [
    ["heartbeat", "removals", "digest"], ["heartbeat"], ["heartbeat"],
  ]);
  assert.equal(statuses.filter(({ status }) => status === "syncing").length, 2);
  assert.equal(statuses[0].status, "syncing", "the refusal is not told");
});

test("a parameter of the page that is unknown is refused, and not asked for again", async (t) => {
  const gateway = await scripted(t, () => unknown);
  const { live } = watched(t, `${gateway.url}?filtre=a`);
  await assert.rejects(live.ready, { code: "unknown-parameter" });
  assert.equal(live.status, "failed");
  assert.equal(gateway.requests.length, 2);
});

test("what a page asks for itself stays", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)])]);
  const { live } = watched(t, `${gateway.url}?digest=false&heartbeat=5s`);
  await live.ready;
  assert.deepEqual(gateway.requests[0].query, {
    digest: "false", heartbeat: "5s", removals: "event",
  });
});
