/** Tests liveMap on an EventSource, against the scripted gateway of clients/js, which can fail. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EventSource } from "eventsource";
import { liveMap } from "../../clients/js/dist/kvgateway.js";
import { block, put, refuse, scripted, stream, sync } from "../../clients/js/test/scripted.js";
import { until } from "./harness.js";

function watched(t, url, options = {}) {
  const statuses = [];
  const live = liveMap(url, { EventSource, retry: 20, onStatus: (status) => statuses.push(status), ...options });
  t.after(() => live.close());
  return { live, statuses };
}

test("an EventSource that was closed by a 502 is made anew, from the last id on", async (t) => {
  const gateway = await scripted(t, [
    stream([put("a", 1, 1, { id: "1.9-e1" })], { end: true }),
    refuse(502), // Closes the EventSource.
    refuse(502), // Answers the request for the reason.
    stream([put("b", 2, 2, { id: "2.9-e1" }), sync(9)]),
  ]);
  const { live, statuses } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual([...live.map.keys()], ["a", "b"], "the snapshot went on");
  assert.equal(gateway.requests[1].headers["last-event-id"], "1.9-e1", "by itself at first");
  assert.equal(gateway.requests[3].query.last_event_id, "1.9-e1");
  assert.equal(gateway.requests[3].headers["last-event-id"], undefined);
  assert.equal(statuses.at(-1), "live");
});

test("one that was closed for good is not made anew", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)], { end: true }), refuse(403), refuse(403)]);
  const { live } = watched(t, gateway.url);
  await until("it failed", () => live.status === "failed");
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(gateway.requests.length, 3);
  assert.equal(live.map.size, 1, "what was known stays");
});

test("one that says nothing is made anew", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)]), stream([put("a", 2, 2), sync(2)])]);
  const { live } = watched(t, gateway.url, { idleTimeout: 200 });
  await until("it connected again", () => live.map.get("a")?.value === 2);
  assert.equal(gateway.requests[1].query.last_event_id, "1-e1");
});

test("a url that is a function is asked before every connection", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1), sync(1)], { end: true }), stream([sync(1)])]);
  let ticket = 0;
  watched(t, () => `${gateway.url}?ticket=${++ticket}`);
  await until("two connections", () => gateway.requests.length === 2);
  assert.deepEqual(gateway.requests.map(({ query }) => [query.ticket, query.last_event_id]), [["1", undefined], ["2", "1-e1"]]);
});

test("a problem that passes is waited out", async (t) => {
  const problem = block("problem", "", { status: 503, title: "Overloaded" });
  const steps = [stream([problem], { end: true }), stream([put("a", 1, 1), sync(1)])];
  const gateway = await scripted(t, steps);
  const { live } = watched(t, gateway.url);
  await live.ready;
  assert.equal(live.map.size, 1);
});

test("headers are sent although there is an EventSource", async (t) => {
  const gateway = await scripted(t, [stream([sync(1)])]);
  const { live } = watched(t, gateway.url, { headers: { Authorization: "Bearer x" } });
  await live.ready;
  assert.equal(gateway.requests[0].headers.authorization, "Bearer x");
});
