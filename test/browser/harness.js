/** Starts the built programs, and makes requests to the gateway. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Starts a program and waits until `find` returns something for a line of its log. */
async function start(program, args, find) {
  const child = spawn(join(ROOT, "bin", program), args, { stdio: ["ignore", "ignore", "pipe"] });
  const log = [];
  const found = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${program} ended with ${code}:\n${log.join("\n")}`)));
    createInterface({ input: child.stderr }).on("line", (line) => {
      log.push(line);
      const value = find(line);
      if (value) resolve(value);
    });
  });
  const exited = once(child, "exit");
  const stop = async (signal = "SIGTERM") => {
    child.kill(signal);
    await exited;
  };
  return { found, stop };
}

const addressOf = (line) => (line.includes('"message":"listening"') ? JSON.parse(line).addr : undefined);

/** A gateway with a data directory, which can be killed and started again on the same port. */
export class Gateway {
  static async start(...flags) {
    const gateway = new Gateway();
    gateway.data = await mkdtemp(join(tmpdir(), "kvgw-browser-"));
    gateway.flags = flags;
    gateway.address = "127.0.0.1:0";
    await gateway.run();
    return gateway;
  }

  get url() {
    return `http://${this.address}`;
  }

  async run() {
    const data = this.flags.includes("--nats-url") ? [] : ["--data-dir", this.data];
    const args = ["serve", "--listen", this.address, ...data, "--log-format", "json", ...this.flags];
    this.process = await start("gateway", args, addressOf);
    this.address = this.process.found;
  }

  kill() {
    return this.process.stop("SIGKILL");
  }

  async stop() {
    await this.process.stop();
    await rm(this.data, { recursive: true, force: true });
  }

  async send(method, path, body, headers = {}) {
    const response = await fetch(this.url + path, { method, body, headers });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  createBucket(bucket, config = {}) {
    return this.send("PUT", `/buckets/${bucket}`, JSON.stringify(config), { "Content-Type": "application/json" });
  }

  put(bucket, key, value) {
    return this.send("PUT", `/buckets/${bucket}/keys/${key}`, JSON.stringify(value), { "Content-Type": "application/json" });
  }

  remove(bucket, key) {
    return this.send("DELETE", `/buckets/${bucket}/keys/${key}`);
  }
}

/** A nats-server with a directory, which can be killed and started again on the same port. */
export class NATS {
  static async start() {
    const nats = new NATS();
    nats.data = await mkdtemp(join(tmpdir(), "kvgw-browser-nats-"));
    nats.port = "-1";
    await nats.run();
    return nats;
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  async run() {
    const find = (line) => {
      const port = /client connections on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
      if (port) this.port = port;
      return line.includes("Server is ready");
    };
    const args = ["-a", "127.0.0.1", "-p", this.port, "-js", "-sd", this.data];
    this.process = await start("nats-server", args, find);
  }

  kill() {
    return this.process.stop("SIGKILL");
  }

  async stop() {
    await this.process.stop();
    await rm(this.data, { recursive: true, force: true });
  }
}

export async function startDashboard(gateway) {
  const find = (line) => /(http:\/\/\S+)/.exec(line)?.[1];
  const { found, stop } = await start("live-dashboard", ["-listen", "127.0.0.1:0", "-gateway", gateway.url], find);
  return { url: found, stop };
}

export const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
export const CHROMIUM_ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** Waits until a condition holds. `what` names the condition in the error if it does not. */
export async function until(what, condition, seconds = 20) {
  for (const deadline = Date.now() + seconds * 1000; Date.now() < deadline; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not within ${seconds} s: ${what}`);
}
