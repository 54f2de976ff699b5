/** A gateway that follows a script, on a real socket: the n-th request of a test is answered by its n-th step. */
import { once } from "node:events";
import { createServer } from "node:http";

/** One block of a stream. */
export function block(event, id, data) {
  const lines = [];
  if (event) lines.push(`event: ${event}`);
  if (id) lines.push(`id: ${id}`);
  lines.push(`data: ${JSON.stringify(data)}`);
  return lines.join("\n") + "\n\n";
}

export const put = (key, revision, value, more = {}) => {
  const { id = `${revision}-e1`, ...members } = more;
  return block("put", id, { bucket: "shop", key, revision, epoch: "e1", operation: "put", created: "2026-01-01T00:00:00Z", size: 1, value, ...members });
};

export const removal = (operation, key, revision, more = {}) =>
  block(operation, `${revision}-e1`, { bucket: "shop", key, revision, epoch: "e1", operation, created: "2026-01-01T00:00:00Z", size: 0, ...more });

export const sync = (revision, more = {}) =>
  block("sync", more.id ?? `${revision}-e1`, { bucket: "shop", revision, exact: true, ...more });

export const RETRY = "retry: 20\n\n";

/** A step that answers a stream of these blocks and leaves it open; with `end` it is ended, with `cut` the socket is. */
export const stream = (blocks, { end = false, cut = false } = {}) => async (request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  response.write(RETRY + blocks.join(""));
  if (end) response.end();
  // What is written may still be on its way; a reset would take it back.
  if (cut) setTimeout(() => response.socket?.destroy(), 50);
};

export const refuse = (status, headers = {}, body = { type: "/problems/x", title: "refused", status, detail: `why ${status}` }) =>
  (request, response) => {
    response.writeHead(status, { "Content-Type": "application/problem+json", ...headers });
    response.end(JSON.stringify(body));
  };

export async function scripted(t, steps) {
  const requests = [];
  const responses = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    requests.push({ at: Date.now(), url, headers: request.headers, query: Object.fromEntries(url.searchParams) });
    responses.push(response);
    const step = steps[requests.length - 1];
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

/** Waits until a condition holds, and says which did not. */
export async function until(what, condition) {
  for (const deadline = Date.now() + 5000; Date.now() < deadline; ) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`not within 5 s: ${what}`);
}
