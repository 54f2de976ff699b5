/** A gateway on a real socket that answers the n-th request of a test with its n-th step. */
import { once } from "node:events";
import { createServer } from "node:http";

/** Returns one block of a stream. */
export function block(event, id, data) {
  const lines = [];
  if (event) lines.push(`event: ${event}`);
  if (id) lines.push(`id: ${id}`);
  lines.push(`data: ${JSON.stringify(data)}`);
  return lines.join("\n") + "\n\n";
}

const dataOf = (operation, key, revision, more) => ({
  bucket: "shop",
  key,
  revision,
  epoch: "e1",
  operation,
  created: "2026-01-01T00:00:00Z",
  ...more,
});

export const put = (key, revision, value, more = {}) => {
  const { id = `${revision}-e1`, ...members } = more;
  return block("put", id, dataOf("put", key, revision, { size: 1, value, ...members }));
};

export const removal = (operation, key, revision, more = {}) =>
  block(operation, `${revision}-e1`, dataOf(operation, key, revision, { size: 0, ...more }));

export const sync = (revision, more = {}) =>
  block("sync", more.id ?? `${revision}-e1`, { bucket: "shop", revision, exact: true, ...more });

/** When to reconnect, as a line of the block that comes next. */
export const RETRY = "retry: 20\n";

/**
 * A step that answers with a stream of these blocks, which stays open. With `end` the answer ends,
 * and with `cut` the socket is destroyed.
 */
export const stream = (blocks, { end = false, cut = false } = {}) => async (request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.write(RETRY + blocks.join(""));
  if (end) response.end();
  // What was written may still be on its way, and a reset would discard it.
  if (cut) setTimeout(() => response.socket?.destroy(), 50);
};

/** A step that answers with a problem. */
export const refuse = (status, headers = {}, body = problemOf(status)) =>
  (request, response) => {
    response.writeHead(status, { "Content-Type": "application/problem+json", ...headers });
    response.end(JSON.stringify(body));
  };

const problemOf = (status) => ({
  type: "/problems/x",
  title: "refused",
  status,
  detail: `why ${status}`,
});

/**
 * Starts a gateway that follows the steps, or a function that chooses a step for each request. It
 * ends with the test.
 */
export async function scripted(t, steps) {
  const requests = [];
  const responses = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    const query = Object.fromEntries(url.searchParams);
    requests.push({ at: Date.now(), url, headers: request.headers, query });
    responses.push(response);
    const step = typeof steps === "function" ? steps(request) : steps[requests.length - 1];
    if (step) step(request, response);
    else refuse(503)(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { origin, requests, responses, url: `${origin}/buckets/shop/watch` };
}

/** Waits until a condition holds. `what` names the condition in the error if it does not. */
export async function until(what, condition) {
  for (const deadline = Date.now() + 5000; Date.now() < deadline; ) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within 5 s: ${what}`);
}
