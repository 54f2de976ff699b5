/** Serves page/ and node_modules/ to the browser, from an origin that is not the gateway's. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const INDEX = '<!doctype html><title>streams</title><script type="module" src="/page/follow.js"></script>';

export async function startSite() {
  const server = createServer(async ({ url }, response) => {
    if (url === "/") return response.setHeader("Content-Type", "text/html").end(INDEX);
    const file = join(HERE, normalize(url));
    // fetch-event-source imports its modules without their ending.
    const script = await readFile(file).catch(() => readFile(`${file}.js`)).catch(() => undefined);
    if (script === undefined) return response.writeHead(404).end();
    response.setHeader("Content-Type", "text/javascript").end(script);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${server.address().port}`;
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { origin, stop };
}
