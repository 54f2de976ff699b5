// Follows a bucket as lines of JSON, and reads each line as the generated type Event. tsc proves
// that `event` tells the kinds of events apart: each case uses members that the others do not have.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { test } from "node:test";
import createClient from "openapi-fetch";
import type { components, paths } from "./gen/contract.d.ts";
import { baseUrl } from "../scenario.js";

type Event = components["schemas"]["Event"];

const bucket = `clients-ts-stream-${Date.now()}`;
const client = createClient<paths>({ baseUrl });
const end = new AbortController();

/** Opens a stream of the bucket, and returns its events. */
async function* follow(): AsyncGenerator<Event> {
  const { data, response } = await client.GET("/buckets/{bucket}/watch", {
    params: { path: { bucket } },
    headers: { Accept: "application/x-ndjson" },
    parseAs: "stream",
    signal: end.signal,
  });
  assert.equal(response.status, 200);
  const lines = createInterface({ input: Readable.fromWeb(data as unknown as ReadableStream) });
  for await (const line of lines) yield JSON.parse(line) as Event;
}

/** What the test says of an event. */
function told(event: Event): string {
  switch (event.event) {
    case "put":
      return `put ${event.key} ${JSON.stringify(event.value)} ${event.content_type}`;
    case "delete":
    case "purge":
    case "expire":
      return `${event.operation} ${event.key}`;
    case "sync":
      return `sync ${event.revision} ${event.keys} ${event.exact}`;
    case "reset":
      return `reset ${event.reason}`;
    case "removed":
      return `removed ${event.removed.map(({ key, revision }) => `${key} ${revision}`).join()}`;
    case "bucket-deleted":
      return `deleted ${event.bucket}`;
    case "goaway":
      return `goaway ${event.reason}`;
    case "problem":
      return `${event.status} ${event.type}`;
    case "bookmark":
    case "heartbeat":
    case "stale":
    case "live":
      return ""; // They can come at any time.
  }
}

async function put(key: string, value: unknown) {
  const { response } = await client.PUT("/buckets/{bucket}/keys/{key}", {
    params: { path: { bucket, key } },
    headers: { "Content-Type": "application/json" },
    body: new Blob([JSON.stringify(value)]),
    bodySerializer: (body: Blob | undefined) => body,
  });
  assert.equal(response.status, 200);
}

/** Returns what the next event says that is not one of those that can come at any time. */
async function next(events: AsyncGenerator<Event>): Promise<string> {
  for (;;) {
    const { value, done } = await events.next();
    assert.ok(!done, "the stream ended");
    const text = told(value);
    if (text) return text;
  }
}

test("stream", { timeout: 60_000 }, async () => {
  const path = { bucket };
  assert.equal((await client.PUT("/buckets/{bucket}", { params: { path }, body: {} })).response.status, 201);
  await put("orders.17", { qty: 2 });
  const events = follow();
  try {
    assert.equal(await next(events), 'put orders.17 {"qty":2} application/json');
    assert.equal(await next(events), "sync 1 1 true");
    await put("orders.18", [3]);
    assert.equal(await next(events), "put orders.18 [3] application/json");
    await client.DELETE("/buckets/{bucket}/keys/{key}", { params: { path: { bucket, key: "orders.17" } } });
    assert.equal(await next(events), "delete orders.17");
    await client.DELETE("/buckets/{bucket}", { params: { path } });
    assert.equal(await next(events), `deleted ${bucket}`);
  } finally {
    end.abort();
  }
});
