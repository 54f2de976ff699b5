/** Tests the configurations of deploy/proxies: each proxy, in front of the built gateway. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Agent } from "node:http";
import { after, before, suite, test } from "node:test";
import { EventSource } from "eventsource";
import { Gateway, until } from "../browser/harness.js";
import { startEcho } from "./echo.js";
import { CHOSEN, freePort, startProxy } from "./proxies.js";
import { begin, open, send } from "./request.js";

const EVENT_STREAM = { Accept: "text/event-stream" };
/** The proxy that cannot answer a stream itself, and holds it until a gateway is back. */
const HOLDS = ["traefik"];

for (const name of CHOSEN) {
  suite(name, () => {
    let gateway, proxy;
    before(async () => {
      gateway = await Gateway.start("--allowed-host", "kv.example");
      proxy = await startProxy(name, { gateways: [gateway.address] });
    });
    after(async () => {
      await proxy?.stop();
      await gateway?.stop();
    });
    const to = (method, path, options) => send(proxy.url, method, path, options);

    test("keys keep their slashes and dots, however they are written", async () => {
      await gateway.createBucket("keys");
      const keys = ["a/b", "a//b", "a///b", "a/./b", "a/.b", "/a", "//a", "a/", "a//", "a=b", "a.b/c"];
      for (const [i, key] of keys.entries()) {
        const path = i % 2 ? key : key.replaceAll("/", i % 4 ? "%2f" : "%2F");
        const { status, text } = await to("PUT", `/buckets/keys/keys/${path}`, { body: `of ${key}` });
        assert.equal(status, 200, text);
        assert.equal(JSON.parse(text).key, key);
      }
      const listed = await gateway.send("GET", "/buckets/keys/keys");
      assert.deepEqual(listed.keys, keys.toSorted());
      for (const key of keys) {
        for (const path of [key, key.replaceAll("/", "%2F")]) {
          const { text } = await to("GET", `/buckets/keys/keys/${path}`);
          assert.equal(text, `of ${key}`, path);
        }
        const { text } = await to("GET", `/buckets/keys/keys/~?key=${encodeURIComponent(key)}`);
        assert.equal(text, `of ${key}`, key);
      }
      for (const path of ["a/../b", "a%2F..%2Fb", "..", "a//../b"]) {
        const { status } = await to("DELETE", `/buckets/keys/keys/${path}`);
        assert.ok(status === 400 || status === 404, `${path}: ${status}`);
      }
      assert.deepEqual((await gateway.send("GET", "/buckets/keys/keys")).keys, keys.toSorted());
    });

    test("conditions, ranges, HEAD and long polls", async () => {
      await gateway.createBucket("values");
      const path = "/buckets/values/keys/a";
      const first = await to("PUT", path, { body: "0123456789", headers: { "If-None-Match": "*" } });
      assert.equal(first.status, 201);
      assert.match(first.headers.location, /^\/buckets\/values\/keys\/a$/);
      const { etag } = first.headers;
      assert.equal((await to("PUT", path, { body: "x", headers: { "If-None-Match": "*" } })).status, 412);
      assert.equal((await to("GET", path, { headers: { "If-None-Match": etag } })).status, 304);
      const part = await to("GET", path, { headers: { Range: "bytes=2-4", "If-Range": etag } });
      assert.deepEqual([part.status, part.text, part.headers["content-range"]], [206, "234", "bytes 2-4/10"]);
      const head = await to("HEAD", path);
      assert.deepEqual([head.status, head.headers["content-length"]], [200, "10"]);
      assert.match(head.headers.etag, /^"1-/);
      const wait = { "If-None-Match": etag, Prefer: "wait=30", "Accept-Encoding": "gzip, br" };
      const poll = to("GET", path, { headers: wait });
      const second = await to("PUT", path, { body: "changed", headers: { "If-Match": etag } });
      assert.equal(second.status, 200);
      const changed = await poll;
      assert.deepEqual([changed.status, changed.text, changed.headers["kv-revision"]], [200, "changed", "2"]);
      assert.equal((await to("DELETE", path, { headers: { "If-Match": etag } })).status, 412);
      assert.equal((await to("DELETE", path, { headers: { "If-Match": second.headers.etag } })).status, 200);
      assert.equal((await to("PUT", path, { body: "" })).status, 200, "an empty value");
    });

    test("large values and long paths, also with Expect", async () => {
      await gateway.createBucket("large");
      const body = randomBytes(1_000_000);
      const headers = { Expect: "100-continue", "Content-Length": body.length };
      for (const [key, options] of [["a", {}], ["b", { headers }]]) {
        assert.equal((await to("PUT", `/buckets/large/keys/${key}`, { body, ...options })).status, 200);
        assert.ok((await to("GET", `/buckets/large/keys/${key}`)).bytes.equals(body));
      }
      const longest = "k".repeat(1024);
      assert.equal((await to("PUT", `/buckets/large/keys/${longest}`, { body: "x" })).status, 200);
      const keys = Array.from({ length: 12 }, () => `key=${longest}`).join("&");
      assert.equal((await to("GET", `/buckets/large/entries?${keys}`)).status, 200, "a line of 12 KB");
      const refused = await to("PUT", "/buckets/large/keys/c", { body: Buffer.alloc(3_000_000) });
      assert.equal(refused.status, 413);
      assert.equal(refused.headers["content-type"], "application/problem+json", "the gateway's own answer");
    });

    test("Host and Origin are what the browser sent", async () => {
      await gateway.createBucket("hosts");
      const put = (headers) => to("PUT", "/buckets/hosts/keys/a", { body: "x", headers });
      const Host = "kv.example:8443";
      assert.equal((await put({ Host, Origin: `https://${Host}` })).status, 200);
      const foreign = await put({ Host, Origin: "https://evil.example" });
      assert.equal(foreign.status, 403);
      assert.match(foreign.text, /cross-site/);
      assert.equal((await put({ Host: "evil.example", Origin: "https://evil.example" })).status, 421);
    });

    test("a stream is neither held back nor compressed", async (t) => {
      await gateway.createBucket("stream");
      const stream = await open(proxy.url, "/buckets/stream/watch", { ...EVENT_STREAM, "Accept-Encoding": "gzip, br, zstd" });
      t.after(() => stream.close());
      assert.equal(stream.headers["content-encoding"], undefined);
      await until("sync", () => stream.text.includes("event: sync"));
      for (let i = 0; i < 3; i++) {
        await gateway.put("stream", "a", i); // Each must arrive before there is another.
        await until(`put ${i}`, () => stream.text.includes(`"value":${i}}`));
      }
      const lines = await open(proxy.url, "/buckets/stream/watch", { Accept: "application/x-ndjson", "Accept-Encoding": "gzip" });
      t.after(() => lines.close());
      await until("a line", () => lines.text.includes('"event":"sync"'));
    });

    test("an import is answered while it is read", async () => {
      await gateway.createBucket("import");
      const { outgoing, answer } = begin(proxy.url, "POST", "/buckets/import/entries", {
        headers: { "Content-Type": "application/x-ndjson" },
      });
      const lines = (from) => Array.from({ length: 1000 }, (_, i) => `{"key":"k.${from + i}","value":${i}}\n`).join("");
      outgoing.write(lines(0));
      let text = "";
      const read = (async () => {
        const response = await answer;
        assert.equal(response.statusCode, 200);
        for await (const part of response) text += part;
      })();
      await until("progress", () => text.includes('"progress":1000'));
      outgoing.end(lines(1000));
      await read;
      assert.match(text, /"done":true,"stored":2000,"failed":0/);
      const exported = await to("GET", "/buckets/import/entries", { headers: { Accept: "application/x-ndjson" } });
      assert.match(exported.text, /"end":true.*"count":2000/);
    });

    test("while the gateway is down: EventSources get a stream, all others a problem", async () => {
      await gateway.createBucket("down");
      await gateway.kill();
      try {
        if (!HOLDS.includes(name)) {
          const stream = await to("GET", "/buckets/down/watch", { headers: EVENT_STREAM });
          assert.equal(stream.status, 200);
          assert.equal(stream.headers["content-type"], "text/event-stream");
          assert.match(stream.headers["cache-control"], /no-store/);
          assert.equal(stream.headers["access-control-allow-origin"], "*");
          const [, retry, data] = /^retry: (\d+)\nevent: problem\ndata: (.*)\n\n$/.exec(stream.text) ?? [];
          assert.ok(retry >= 1000 && retry <= 5000, stream.text);
          checkProblem(JSON.parse(data));
          await checkRefusal(to("GET", "/buckets/down/watch?errors=status", { headers: EVENT_STREAM }));
          await checkRefusal(to("GET", "/buckets/down/watch", { headers: { Accept: "application/x-ndjson" } }));
        }
        const refusals = [["GET"], ["HEAD"], ["PUT", { body: "x" }], ["PATCH", { body: "{}" }], ["DELETE"]];
        for (const [method, options] of refusals) {
          // No EventSource sends anything but GET, whatever Accept says.
          const headers = method === "GET" ? {} : EVENT_STREAM;
          await checkRefusal(to(method, "/buckets/down/keys/a", { ...options, headers }), HOLDS.includes(name));
        }
      } finally {
        await gateway.run();
        await until("it is back", async () => (await to("GET", "/buckets/down")).status === 200);
      }
    });

    for (const signal of ["SIGTERM", "SIGKILL"]) {
      test(`a native EventSource goes on after ${signal}`, async (t) => {
        const bucket = `again-${signal}`;
        await gateway.createBucket(bucket);
        const source = new EventSource(`${proxy.url}/buckets/${bucket}/watch?heartbeat=1s`);
        t.after(() => source.close());
        const events = [];
        for (const event of ["put", "sync", "reset", "goaway", "problem"]) {
          source.addEventListener(event, ({ data }) => events.push([event, JSON.parse(data)]));
        }
        const puts = () => events.filter(([event]) => event === "put").map(([, { value }]) => value);
        await until("sync", () => events.some(([event]) => event === "sync"));
        await gateway.put(bucket, "a", 1);
        await until("the first", () => puts().length === 1);
        await gateway.process.stop(signal);
        if (HOLDS.includes(name)) await until("it waits", () => source.readyState === source.CONNECTING);
        else await until("it was told", () => events.some(([event]) => event === "problem"));
        await gateway.run();
        await gateway.put(bucket, "b", 2);
        await until("the second", () => puts().length >= 2);
        assert.deepEqual(puts(), [1, 2]);
        assert.ok(!events.some(([event]) => event === "reset"));
      });
    }
  });

  suite(`${name} and what it sends`, () => {
    let echo, other, proxy;
    before(async () => {
      [echo, other] = await Promise.all([startEcho(), startEcho()]);
      proxy = await startProxy(name, { gateways: [echo.address, other.address] });
    });
    after(async () => {
      await proxy?.stop();
      await Promise.all([echo?.stop(), other?.stop()]);
    });
    const requests = () => [...echo.requests, ...other.requests].filter(({ path }) => !/^\/(livez|readyz)$/.test(path));

    test("the path, Host and headers as they came, and X-Forwarded-For", async () => {
      const path = "/a//b/./%2F/c%20d?x=a%2Fb&y=//&z";
      await send(proxy.url, "GET", path, { headers: { Host: "kv.example:81", "If-Match": '"1-a"' } });
      const got = requests().at(-1);
      assert.equal(got.path, path);
      assert.equal(got.headers.host, "kv.example:81");
      assert.equal(got.headers["if-match"], '"1-a"');
      assert.match(got.headers["x-forwarded-for"], /^127\.0\.0\.1$/);
    });

    test("an answer in pieces", async () => {
      const answer = await open(proxy.url, "/pieces", { "Accept-Encoding": "gzip" });
      await until("the first piece", () => answer.text === "one");
      echo.finish();
      other.finish();
      await until("the end", () => answer.done === "end");
      assert.equal(answer.text, "one two");
    });

    test("many requests over few connections", async (t) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      t.after(() => agent.destroy());
      const before = echo.connections() + other.connections();
      for (let i = 0; i < 50; i++) await send(proxy.url, "GET", `/${i}`, { agent });
      const made = echo.connections() + other.connections() - before;
      // HAProxy asks for the gateways' health every second.
      assert.ok(made < 20, `${made} connections for 50 requests`);
    });

    test("a change is sent once, although the gateway died over it", async () => {
      for (const method of ["DELETE", "PUT", "POST", "PATCH"]) {
        const sent = (path) => requests().filter((got) => got.path === path).length;
        let tries = 0; // A proxy may send nothing for a while after a gateway has failed.
        await until(`${method} is sent`, async () => {
          const path = `/die?${method}-${tries++}`;
          const { status } = await send(proxy.url, method, path, method === "DELETE" ? {} : { body: "x" });
          assert.ok([502, 503, 504].includes(status), `${method}: ${status}`);
          assert.ok(sent(path) <= 1, `${method} was sent ${sent(path)} times`);
          return sent(path) === 1;
        });
      }
    });
  });

  test(`${name}: with two gateways, one goes on for the other`, async (t) => {
    const nats = `127.0.0.1:${await freePort()}`;
    const first = await Gateway.start("--embedded-listen", nats);
    t.after(() => first.stop());
    const second = await Gateway.start("--nats-url", `nats://${nats}`);
    t.after(() => second.stop());
    const proxy = await startProxy(name, { gateways: [second.address, first.address] });
    t.after(() => proxy.stop());
    await first.createBucket("both");
    const source = new EventSource(`${proxy.url}/buckets/both/watch?heartbeat=1s`);
    t.after(() => source.close());
    const told = [];
    for (const event of ["sync", "reset", "put"]) source.addEventListener(event, ({ data }) => told.push([event, JSON.parse(data).value]));
    await until("sync", () => told.length === 1);
    await second.kill();
    for (let i = 0; i < 20; i++) {
      assert.equal((await send(proxy.url, "GET", "/buckets/both")).status, 200);
    }
    await first.put("both", "a", 1);
    await until("the change", () => told.some(([event]) => event === "put"));
    assert.deepEqual(told.filter(([event]) => event !== "sync"), [["put", 1]]);
    await second.run();
  });
}

function checkProblem({ type, title, status, detail }) {
  assert.equal(type, "about:blank");
  assert.ok([502, 503, 504].includes(status));
  assert.ok(title && detail);
}

/** Checks the answer that all but EventSources get. Traefik's is plain text. */
async function checkRefusal(answer, plain = false) {
  const { status, headers, text } = await answer;
  assert.ok([502, 503, 504].includes(status), `${status} ${text}`);
  if (plain) return;
  assert.equal(headers["content-type"], "application/problem+json");
  assert.match(headers["retry-after"], /^\d+$/);
  assert.equal(headers["access-control-allow-origin"], "*");
  if (text !== "") checkProblem(JSON.parse(text)); // There is none after HEAD.
}
