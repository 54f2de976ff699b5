/** Runs nats.js over WebSocket, as a page does, on the buckets of the gateway. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { Kvm } from "@nats-io/kv";
import { wsconnect } from "@nats-io/nats-core";
import WebSocket from "ws";
import { Gateway } from "./harness.js";

const ORIGIN = "http://app.example.com";

let gateway, address;
before(async () => {
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  address = `127.0.0.1:${free.address().port}`;
  free.close();
  await once(free, "close");
  gateway = await Gateway.start("--embedded-ws-listen", address, "--allow-origin", ORIGIN);
});
after(() => gateway?.stop());

/** Connects as a page of an origin does. Node.js has no WebSocket of its own before version 22. */
function connect(origin) {
  globalThis.WebSocket = class extends WebSocket {
    constructor(url) {
      super(url, { origin });
    }
  };
  return wsconnect({ servers: `ws://${address}`, reconnect: false });
}

test("nats.js over WebSocket shares a bucket with HTTP", async () => {
  await gateway.createBucket("shop");
  await gateway.put("shop", "a", 1);
  const connection = await connect(ORIGIN);
  const bucket = await new Kvm(connection).open("shop");
  assert.equal((await bucket.get("a")).string(), "1");

  const changes = await bucket.watch();
  await bucket.put("b", "2");
  assert.equal((await gateway.send("GET", "/buckets/shop/entries/b")).text, "2");
  await gateway.put("shop", "c", 3);
  const keys = [];
  for await (const { key } of changes) {
    keys.push(key);
    if (key === "c") break;
  }
  assert.deepEqual(keys, ["a", "b", "c"]);
  await connection.close();
});

test("a page of another origin cannot connect", async () => {
  await assert.rejects(connect("http://evil.example.com"));
});
