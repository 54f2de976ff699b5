/** Tests that entries go when they expire, against a scripted gateway on a real socket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { block, put, scripted, stream, sync, until } from "./scripted.js";
import { values, watched } from "./watched.js";

/** Answers with blocks that are made when the request has come, since their times begin then. */
const now = (blocks) => (request, response) => stream(blocks())(request, response);

const at = (ms) => new Date(Date.now() + ms).toISOString();

test("entries that vanish without a marker are dropped at their time", async (t) => {
  let soon;
  const gateway = await scripted(t, [
    now(() => [
      put("stays", 1, 1),
      put("far", 2, 2, { expires: "2999-01-01T00:00:00Z" }),
      put("soon", 3, 3, { expires: (soon = at(500)) }),
      put("past", 4, 4, { expires: at(-1000) }),
      put("renewed", 5, 5, { expires: soon }),
      sync(5),
      put("renewed", 6, 6),
    ]),
  ]);
  const { live, calls } = watched(t, gateway.url);
  await live.ready;
  assert.deepEqual(calls[0].keys, ["stays", "far", "soon", "renewed"]);
  await until("it expired", () => !live.map.has("soon"));
  assert.ok(Date.now() >= Date.parse(soon), "not before its time");
  assert.deepEqual([...live.map.keys()], ["stays", "far", "renewed"]);
  assert.deepEqual([calls.at(-1).cause, calls.at(-1).keys], ["expire", ["soon"]]);
});

test("one timer sees to all that expire, the early one first", async (t) => {
  const expiring = (key, revision, ms) => put(key, revision, revision, { expires: at(ms) });
  const gateway = await scripted(t, [
    now(() => [expiring("c", 1, 900), expiring("a", 2, 300), expiring("b", 3, 600), sync(3)]),
  ]);
  const { live, calls } = watched(t, gateway.url);
  await live.ready;
  await until("all expired", () => live.map.size === 0);
  const told = calls.slice(1).map(({ cause, keys }) => [cause, ...keys].join(" "));
  assert.deepEqual(told, ["expire a", "expire b", "expire c"]);
});

test("expiry is by the clock that is given", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1, { expires: at(60_000) }), sync(1)])]);
  const { live } = watched(t, gateway.url, { now: () => Date.now() + 59_900 });
  await live.ready;
  await until("it expired", () => live.map.size === 0);
});

test("what expired while the machine slept is dropped with the next event", async (t) => {
  const gateway = await scripted(t, [stream([put("a", 1, 1, { expires: at(3600_000) }), sync(1)])]);
  let slept = 0;
  const { live, calls } = watched(t, gateway.url, { now: () => Date.now() + slept });
  await live.ready;
  slept = 2 * 3600_000;
  gateway.responses[0].write(
    block("bookmark", "2-e1", { bucket: "shop", revision: 2, exact: true }),
  );
  await until("it is dropped", () => live.map.size === 0);
  assert.deepEqual([calls.at(-1).cause, calls.at(-1).keys], ["expire", ["a"]]);
});

test("a time of expiry that cannot be read is none", async (t) => {
  const soon = new Date(Date.now() + 100).toISOString();
  const gateway = await scripted(t, [
    stream([
      put("odd", 1, 1, { expires: "some day" }),
      put("soon", 2, 2, { expires: soon }),
      sync(2),
    ]),
  ]);
  const { live } = watched(t, gateway.url);
  await live.ready;
  await until("the other has expired", () => !live.map.has("soon"));
  assert.deepEqual(values(live), { odd: 1 });
});
