/** Opens the console of a gateway with authentication, as users with different rights. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, ROOT } from "./harness.js";

/** Where pictures are kept. */
export const OUTPUT = join(ROOT, "test", "output", "console");

export const JSON_TYPE = { "Content-Type": "application/json" };

/** Whether the tests may take long, and their budgets of time count: `make full` says so. */
export const FULL = process.env.DOCS === "all";

/**
 * What tests refuse on purpose, or take away; the browser logs each as an error. Everything else that
 * a page logs is a complaint.
 */
const REFUSED = /status of (4(01|03|04|09|12)|503)|ERR_(CONNECTION_REFUSED|INCOMPLETE_CHUNKED|EMPTY_RESPONSE|CONNECTION_RESET|FAILED)/;

/** The tokens of ann, who may do everything, and bob, who may read the orders of the bucket shop. */
const tokens = {};

assert.ok(CHROMIUM, "no Chromium is installed");
await mkdir(OUTPUT, { recursive: true });

/** A directory of the test's own. */
export const directory = await mkdtemp(join(tmpdir(), "kvgw-console-"));

const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });

after(async () => {
  await browser.close();
  await rm(directory, { recursive: true, force: true });
});

/** The line of the auth file for a new token. */
function tokenLine(name, role) {
  const made = execFileSync(join(ROOT, "bin/gateway"), ["token", "new", "--name", name, "--role", role],
    { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  tokens[name] = /kvgw_\w+/.exec(made)[0];
  const sha256 = createHash("sha256").update(tokens[name]).digest("hex");
  return `  - { name: ${name}, sha256: "${sha256}", roles: [${role}] }\n`;
}

let written;

/** The auth file of all gateways of a test. */
function authFile() {
  written ??= (async () => {
    const file = join(directory, "auth.yaml");
    await writeFile(file, `roles:
  operator:
    - { bucket: "*", can: [admin] }
  clerk:
    - { bucket: shop, keys: ["orders.>"], can: [read] }
tokens:
${tokenLine("ann", "operator")}${tokenLine("bob", "clerk")}`);
    return file;
  })();
  return written;
}

/** A gateway with authentication, and what its operator asks it for. */
export class Console {
  static async start(...flags) {
    const made = new Console();
    made.gateway = await Gateway.start("--auth-file", await authFile(), ...flags);
    return made;
  }

  stop() {
    return this.gateway.stop();
  }

  /** Makes a request as the operator. */
  async api(method, path, body, headers = {}) {
    const response = await fetch(this.gateway.url + path, {
      method, body, headers: { Authorization: `Bearer ${tokens.ann}`, ...headers },
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  }

  createBucket(name, config = {}) {
    return this.api("PUT", `/buckets/${name}`, JSON.stringify(config), JSON_TYPE);
  }

  put(bucket, key, body, type = "application/json", query = "") {
    return this.api("PUT", `/buckets/${bucket}/keys/~?key=${encodeURIComponent(key)}${query}`, body,
      { "Content-Type": type });
  }

  async read(bucket, key) {
    return (await this.api("GET", `/buckets/${bucket}/keys/~?key=${encodeURIComponent(key)}`)).text();
  }

  /** Imports entries, which come as objects, many at once. */
  async fill(bucket, entries) {
    for (let i = 0; i < entries.length; i += 20_000) {
      const lines = entries.slice(i, i + 20_000).map((entry) => JSON.stringify(entry)).join("\n");
      const answer = await (await this.api("POST", `/buckets/${bucket}/entries`, lines,
        { "Content-Type": "application/x-ndjson" })).text();
      const { done, failed } = JSON.parse(answer.trimEnd().split("\n").at(-1));
      assert.ok(done && failed === 0, answer.slice(-500));
    }
  }

  /**
   * Opens the page where one signs in. Its pages may not complain, break their policy, or ask
   * another origin.
   */
  async load(t, options = {}, prepare = undefined) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    const complaints = [];
    context.on("page", (page) => {
      page.on("pageerror", (error) => complaints.push(String(error.stack)));
      page.on("dialog", (dialog) => complaints.push(`a dialog: ${dialog.message()}`));
      page.on("console", (line) => {
        if (["error", "warning"].includes(line.type()) && !REFUSED.test(line.text())) complaints.push(line.text());
      });
      page.on("request", (request) => {
        const { origin, protocol } = new URL(request.url());
        if (origin !== this.gateway.url && protocol !== "blob:") complaints.push(`asked for ${request.url()}`);
      });
    });
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    t.after(async () => {
      await context.close();
      assert.deepEqual(complaints, []);
    });
    await prepare?.(page);
    await page.goto(`${this.gateway.url}/console/`);
    await page.getByLabel("Token").waitFor();
    return page;
  }

  /** Opens the console and signs in. */
  async open(t, who = "ann", options = {}) {
    const page = await this.load(t, options);
    await page.getByLabel("Token").fill(tokens[who]);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Buckets" }).waitFor();
    return page;
  }
}

/** The token of a user, for those who sign in by hand. */
export const tokenOf = (who) => tokens[who];

/** Goes to a screen without a reload, which would sign out. */
export const go = (page, hash) => page.evaluate((to) => { location.hash = to; }, hash);

/** What axe finds that keeps people from using a page, as "rule: element". */
export async function barriers(page) {
  await page.evaluate(axe.source); // A script of the page's own would break its policy.
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
}

/** How many bytes the objects of a page take, in MiB, without what nothing refers to any more. */
export async function heapOf(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize / 2 ** 20;
}
