/** Tests that a live map gets its tickets by itself, against a scripted gateway. */
import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { liveMap } from "../dist/kvgateway.js";
import { block, put, refuse, scripted, stream, sync, until } from "./scripted.js";
import { watched } from "./watched.js";

const SECRET = "Bearer kvgw_secret";

/** A step that answers with a ticket that is good for so many seconds, and notes the request. */
const grant = (ticket, made, seconds = 3600) =>
  async (request, response) => {
    const { method, headers } = request;
    made.push({ method, headers, url: request.url, body: JSON.parse(await text(request)) });
    const expires = new Date(Date.now() + seconds * 1000).toISOString();
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ ticket, expires }));
  };

const ticketsOf = (gateway) =>
  gateway.requests.filter(({ url }) => url.pathname.endsWith("/watch")).map((r) => r.query.ticket);

const withTicket = { ticket: { headers: { Authorization: SECRET } } };

test("a ticket is made for what is watched, and stays good over reconnects", async (t) => {
  for (const [path, at, watch] of [
    ["/buckets/shop/watch", "/tickets", ["shop"]],
    ["/kv/buckets/shop/watch?filter=a.*&filter=b", "/kv/tickets", ["shop:a.*", "shop:b"]],
    ["/kv/watch?watch=shop:a.>&watch=other", "/kv/tickets", ["shop:a.>", "other"]],
  ]) {
    const made = [];
    const gateway = await scripted(t, [
      grant("t1", made),
      stream([put("a", 1, 1), sync(1)], { end: true }),
      stream([put("a", 2, 2)]),
    ]);
    const { live } = watched(t, gateway.origin + path, withTicket);
    await until("the second stream", () => live.lastEventId === "2-e1");
    assert.equal(made.length, 1);
    assert.equal(made[0].method, "POST");
    assert.equal(made[0].url, at);
    assert.equal(made[0].headers.authorization, SECRET);
    assert.equal(made[0].headers["content-type"], "application/json");
    assert.deepEqual(made[0].body, { watch });
    assert.deepEqual(ticketsOf(gateway), ["t1", "t1"]);
    for (const { url, headers } of gateway.requests.slice(1)) {
      assert.equal(headers.authorization, undefined);
      assert.ok(!url.href.includes("secret"), url.href);
    }
    live.close();
  }
});

test("before its ticket ends, a stream is replaced by one with another ticket", async (t) => {
  const made = [];
  const expiring = block("goaway", "", { reason: "auth-expiring" });
  const gateway = await scripted(t, [
    grant("t1", made),
    stream([put("a", 1, 1), sync(1), expiring]), // It stays open.
    grant("t2", made),
    stream([put("a", 2, 2)]),
  ]);
  let asked = 0;
  const headers = async () => ({ Authorization: `${SECRET}${++asked}` });
  const { live } = watched(t, gateway.url, { ticket: { headers } });
  await until("the second stream", () => live.lastEventId === "2-e1");
  assert.deepEqual(ticketsOf(gateway), ["t1", "t2"]);
  assert.deepEqual(made.map((m) => m.headers.authorization), [`${SECRET}1`, `${SECRET}2`]);
  assert.equal(gateway.requests[3].headers["last-event-id"], "1-e1");
});

test("after other permissions, and for a ticket with little time, another is made", async (t) => {
  const made = [];
  const permissions = block("goaway", "", { reason: "permissions" });
  const gateway = await scripted(t, [
    grant("t1", made),
    stream([put("a", 1, 1), sync(1), permissions], { end: true }),
    grant("t2", made, 59),
    stream([put("a", 2, 2)], { end: true }),
    grant("t3", made),
    stream([put("a", 3, 3)]),
  ]);
  const { live } = watched(t, gateway.url, withTicket);
  await until("the third stream", () => live.lastEventId === "3-e1");
  assert.deepEqual(ticketsOf(gateway), ["t1", "t2", "t3"]);
});

test("a ticket that is refused is replaced once; a refused new one is the end", async (t) => {
  const made = [];
  const gateway = await scripted(t, [
    grant("t1", made),
    stream([put("a", 1, 1), sync(1)], { end: true }),
    refuse(401),
    grant("t2", made),
    refuse(401),
  ]);
  const { live, statuses, reached } = watched(t, gateway.url, withTicket);
  await reached("failed");
  assert.deepEqual(ticketsOf(gateway), ["t1", "t1", "t2"]);
  assert.equal(statuses.at(-1).problem.status, 401);
  assert.equal(live.map.get("a").value, 1);
});

test("a refused credential is the end, and a gateway that is away is not", async (t) => {
  const gateway = await scripted(t, [refuse(503), refuse(401)]);
  const { statuses, reached } = watched(t, gateway.url, withTicket);
  await reached("failed");
  assert.equal(gateway.requests.length, 2);
  assert.equal(statuses.at(-1).problem.detail, "why 401");
  const text = JSON.stringify(statuses.map(({ error }) => [error?.message, error?.stack]));
  assert.ok(!text.includes("secret"), text);
});

test("headers of the stream and of the ticket exclude each other", () => {
  const both = { ...withTicket, headers: { Authorization: SECRET } };
  assert.throws(() => liveMap("http://127.0.0.1:9/watch?watch=a", both), TypeError);
});
