/** Tests how liveMap connects, waits and gives up, against a scripted gateway on a real socket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RETRY, block, put, refuse, scripted, stream, sync, until } from "./scripted.js";
import { values, watched } from "./watched.js";

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
    const gateway = await scripted(t, [
      refuse(status),
      refuse(status),
      stream([put("a", 1, 1), sync(1)]),
    ]);
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

test("an answer that is no event stream passes, and so does a missing gateway", async (t) => {
  const page = (request, response) =>
    response.writeHead(200, { "Content-Type": "text/html" }).end("<p>log in");
  const gateway = await scripted(t, [
    (request) => request.socket.destroy(),
    page,
    stream([sync(1)]),
  ]);
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
    stream([put("a", 1, 1), sync(1), block("goaway", "1-e1", { reason: "shutdown" })], {
      end: true,
    }),
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
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1)]),
    stream([put("a", 2, 2), sync(2)]),
  ]);
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

test("the bookmark of a resumed stream does not shorten the wait for a large event", async (t) => {
  const late = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(
      RETRY + block("bookmark", "1-e1", { bucket: "shop", revision: 1, exact: false }),
    );
    setTimeout(() => response.write(put("a", 2, 2) + sync(2)), 250);
  };
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1)], { end: true }),
    ...Array(20).fill(late),
  ]);
  const { live } = watched(t, gateway.url, { idleTimeout: 100 });
  await until("the event", () => live.map.get("a")?.value === 2);
  assert.ok(gateway.requests.length > 2);
});

test("connections that bring nothing but their first bookmark come ever more seldom", async (t) => {
  const first = block("bookmark", "1-e1", { bucket: "shop", revision: 1, exact: false });
  const gateway = await scripted(t, [
    stream([put("a", 1, 1), sync(1)], { end: true }),
    ...Array(5).fill(stream([first], { end: true })),
  ]);
  const { statuses } = watched(t, gateway.url);
  await until("six attempts", () => gateway.requests.length >= 6);
  const waits = statuses.map(({ retryIn }) => retryIn).filter(Boolean);
  assert.ok(waits[4] > 3 * waits[0], `waits ${waits}`);
});

test("events of another bucket do not shorten the wait for a large one", async (t) => {
  const late = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write(block("sync", "b=1-e1", { bucket: "b", revision: 1, exact: true }));
    setTimeout(
      () =>
        response.write(
          block("sync", "b=1-e1,shop=1-e1", { bucket: "shop", revision: 1, exact: true }),
        ),
      250,
    );
  };
  const gateway = await scripted(t, Array(20).fill(late));
  const { reached } = watched(t, `${gateway.origin}/watch?watch=shop&watch=b`, {
    idleTimeout: 100,
  });
  await reached("live");
  assert.ok(gateway.requests.length > 1);
});

test("a url that never comes is asked for again", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)])]);
  let asked = 0;
  const { live, statuses } = watched(
    t,
    () => (++asked === 1 ? new Promise(() => {}) : gateway.url),
    { idleTimeout: 100 },
  );
  await until("it connected", () => live.map.get("a")?.value === 1);
  assert.equal(asked, 2);
  assert.match(statuses[0].error.message, /nothing was heard/);
});

test("headers are asked for before every connection", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)], { end: true }), stream([sync(1)])]);
  let asked = 0;
  watched(t, gateway.url, {
    headers: async () => ({ Authorization: `Bearer ${++asked}` }),
  });
  await until("two connections", () => gateway.requests.length === 2);
  assert.deepEqual(
    gateway.requests.map(({ headers }) => headers.authorization),
    ["Bearer 1", "Bearer 2"],
  );
});

test("a url that is a function is asked before every connection", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)], { end: true }), stream([sync(1)])]);
  let ticket = 0;
  watched(t, async () => `${gateway.url}?ticket=${++ticket}`);
  await until("two connections", () => gateway.requests.length === 2);
  assert.deepEqual(
    gateway.requests.map(({ query }) => query.ticket),
    ["1", "2"],
  );
});

test("a stream that asks for no wait at all does not make it ask without a pause", async (t) => {
  const hasty = (request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.end("retry: 0\n" + put("a", 1, 1) + sync(1));
  };
  const gateway = await scripted(t, Array(100).fill(hasty));
  watched(t, gateway.url, { retry: 100 });
  await until("three attempts", () => gateway.requests.length === 3);
  const [first, , third] = gateway.requests;
  assert.ok(third.at - first.at >= 150, `${third.at - first.at} ms`);
});

test("a wait that is longer than a timer can hold is no wait of nothing", async (t) => {
  const year = 365 * 24 * 3600;
  for (const step of [
    refuse(503, { "Retry-After": String(year) }),
    stream([`retry: ${year * 1000}\n\n`], { end: true }),
  ]) {
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

test("a url that cannot be had, for whatever reason, is asked for again", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)])]);
  const answers = [() => Promise.reject(), () => Promise.reject("no ticket"), () => gateway.url];
  const { live, statuses } = watched(t, () => answers.shift()());
  await live.ready;
  assert.ok(statuses[0].error instanceof Error && statuses[1].error instanceof Error);
});
