/** A server in the place of a gateway, which records what a proxy sends to it. */
import { once } from "node:events";
import { createServer } from "node:http";

export async function startEcho() {
  const requests = [];
  const pieces = []; // Answers to /pieces, of which the second half is still to come.
  let connections = 0;
  const server = createServer((request, response) => {
    requests.push({ method: request.method, path: request.url, headers: request.headers });
    request.resume();
    request.on("end", () => {
      if (request.url.startsWith("/die")) request.socket.destroy();
      else if (request.url === "/pieces") {
        response.write("one");
        pieces.push(response);
      } else response.end("ok");
    });
  });
  server.on("connection", () => connections++);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  };
  const finish = () => pieces.splice(0).forEach((response) => response.end(" two"));
  return { address: `127.0.0.1:${server.address().port}`, requests, connections: () => connections, finish, stop };
}
