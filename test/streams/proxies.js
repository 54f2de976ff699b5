/** Starts the proxies with the configurations of deploy/proxies. */
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { ROOT, until } from "../browser/harness.js";
import { send } from "./request.js";

const CONFIGURATIONS = join(ROOT, "deploy", "proxies");
/** Where `make proxies` installs the proxies that Debian does not have. */
const INSTALLED = join(ROOT, "test", "streams", ".venv", "bin");

/**
 * Returns a port that is free now. It is not one of those that the system gives out, so that nobody
 * else gets it meanwhile.
 */
export async function freePort() {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = createServer().listen(port);
    const free = await new Promise((resolve) => server.on("listening", () => resolve(true)).on("error", () => resolve(false)));
    if (!free) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

/** nginx's main file, which includes the shipped one as Debian's does. */
const nginxMain = (dir) => `
${process.getuid() === 0 ? "user root;" : ""}
daemon off; worker_processes 1; pid ${dir}/pid; error_log stderr warn;
events { worker_connections 1024; }
http {
  log_format requests '$request_method $status "$request_uri" "$http_last_event_id"';
  access_log ${dir}/requests requests;
  client_body_temp_path ${dir}/body; proxy_temp_path ${dir}/proxy; fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi; scgi_temp_path ${dir}/scgi;
  include ${dir}/nginx.conf;
}`;

/** How each proxy is started: its program, the files that it needs, and its arguments. */
const PROXIES = {
  nginx: {
    files: ["nginx.conf"],
    port: "listen 80;",
    args: (dir) => ["-p", dir, "-e", "stderr", "-c", join(dir, "main.conf")],
    prepare: (dir) => writeFile(join(dir, "main.conf"), nginxMain(dir)),
  },
  haproxy: { files: ["haproxy.cfg"], port: "bind :80", args: (dir) => ["-db", "-f", join(dir, "haproxy.cfg")] },
  caddy: {
    files: ["Caddyfile"],
    port: ":80 {",
    args: (dir) => ["run", "--adapter", "caddyfile", "--config", join(dir, "Caddyfile")],
    env: async (dir) => ({ CADDY_ADMIN: `127.0.0.1:${await freePort()}`, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir }),
  },
  traefik: {
    files: ["traefik.yaml", "traefik-routes.yaml"],
    port: '":80"',
    args: (dir) => [`--configFile=${join(dir, "traefik.yaml")}`],
  },
};

/** The proxies to try: those that PROXIES names, or all. */
export const CHOSEN = process.env.PROXIES?.split(/[ ,]+/).filter(Boolean) ?? Object.keys(PROXIES);

function programOf(name) {
  const dirs = [INSTALLED, ...process.env.PATH.split(delimiter), "/usr/sbin", "/usr/local/sbin"];
  const found = dirs.map((dir) => join(dir, name)).find(existsSync);
  if (!found) throw new Error(`${name} is not installed; test/README.md says what make proxies needs`);
  return found;
}

/** Replaces what must occur in a text. */
function replaced(text, from, to) {
  if (!text.includes(from)) throw new Error(`the configuration does not have ${from} any more`);
  return text.replaceAll(from, to);
}

/** Lets pages of other origins read nginx's own 502, as they can if they have its origin. */
const READABLE = "proxy_hide_header Access-Control-Allow-Origin; add_header Access-Control-Allow-Origin * always;";

/** Copies the shipped files with this test's addresses. A second gateway is a line to uncomment. */
async function configure(proxy, dir, port, { gateways: [first, second], plain }) {
  for (const file of proxy.files) {
    let text = await readFile(join(CONFIGURATIONS, file), "utf8");
    if (plain) text = replaced(text, "error_page 502 503 504 = $kvgateway_unreachable;", READABLE);
    if (text.includes(":8080")) {
      text = replaced(text, "127.0.0.1:8080", first);
      if (second) text = replaced(text.replaceAll(/# (.*127\.0\.0\.1:8081)/g, "$1"), "127.0.0.1:8081", second);
    }
    if (file === proxy.files[0]) text = replaced(text, proxy.port, proxy.port.replace("80", port));
    await writeFile(join(dir, file), text.replaceAll("/etc/traefik", dir));
  }
  await proxy.prepare?.(dir);
}

/**
 * Starts a proxy in front of gateways, given by their addresses, one of which must answer. If plain
 * is true, nginx answers everybody with its usual 502 while there is none.
 */
export async function startProxy(name, options) {
  const proxy = PROXIES[name];
  const dir = await mkdtemp(join(tmpdir(), "kvgw-proxy-"));
  const port = await freePort();
  await configure(proxy, dir, port, options);
  const env = { ...process.env, ...(await proxy.env?.(dir)) };
  const child = spawn(programOf(name), proxy.args(dir), { env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const output of [child.stdout, child.stderr]) output.on("data", (text) => (log += text));
  const exited = once(child, "exit");
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    const killer = setTimeout(() => child.kill("SIGKILL"), 3000);
    await exited;
    clearTimeout(killer);
    await rm(dir, { recursive: true, force: true });
  };
  try {
    await until(`${name} answers`, async () => {
      if (child.exitCode !== null) throw new Error(`${name} ended`);
      return send(url, "GET", "/readyz").then(({ status }) => status === 200, () => false);
    });
  } catch (error) {
    await stop();
    throw new Error(`${error.message}; its log:\n${log}`);
  }
  return { url, stop, requests: (part) => requestsIn(join(dir, "requests"), part) };
}

/** Returns the requests that nginx has finished whose paths have a certain part. */
async function requestsIn(file, part) {
  const lines = (await readFile(file, "utf8")).split("\n");
  const requests = lines.map((line) => /^(\w+) (\d+) "(.*)" "(.*)"$/.exec(line)).filter((found) => found?.[3].includes(part));
  return requests.map(([, method, status, path, id]) => {
    const query = new URL(path, "http://localhost").searchParams;
    return { method, status: Number(status), query, lastEventId: id === "-" ? "" : id };
  });
}
