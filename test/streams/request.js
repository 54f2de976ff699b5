/** Requests whose paths and headers arrive as they are written, which fetch would change. */
import { request } from "node:http";

/**
 * Begins a request, and returns it with the answer, which may come before the request has ended.
 * Each has a connection of its own unless there is an agent.
 */
export function begin(url, method, path, { headers = {}, agent = false } = {}) {
  const { hostname, port } = new URL(url);
  const outgoing = request({ hostname, port, method, path, headers, agent });
  const answer = new Promise((resolve, reject) => {
    outgoing.on("response", resolve);
    outgoing.on("error", reject);
  });
  return { outgoing, answer };
}

/** Makes a request and returns the whole answer. */
export async function send(url, method, path, { body, ...options } = {}) {
  const { outgoing, answer } = begin(url, method, path, options);
  outgoing.end(body);
  const response = await answer;
  const parts = await response.toArray();
  const bytes = Buffer.concat(parts);
  return { status: response.statusCode, headers: response.headers, bytes, text: bytes.toString() };
}

/** Reads a stream as it comes: `text` has what has arrived, and `done` how it ended. */
export async function open(url, path, headers = { Accept: "text/event-stream" }) {
  const { outgoing, answer } = begin(url, "GET", path, { headers });
  outgoing.end();
  const response = await answer;
  const stream = { status: response.statusCode, headers: response.headers, text: "", done: undefined };
  response.setEncoding("utf8");
  response.on("data", (text) => (stream.text += text));
  response.on("end", () => (stream.done = "end"));
  response.on("error", (error) => (stream.done = error.message));
  stream.close = () => response.destroy();
  return stream;
}
