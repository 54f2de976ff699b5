/** Uses the console in Chromium against the built gateway, with authentication on. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, ROOT, until } from "./harness.js";

const OUTPUT = join(ROOT, "test", "output", "console");
const HEIGHTS = { 360: 740, 1280: 800, 3840: 2160 };
/** The gate looks at two of the six; `make full` sets DOCS=all. */
const LOOKS = process.env.DOCS === "all"
  ? Object.keys(HEIGHTS).flatMap((width) => ["light", "dark"].map((theme) => [Number(width), theme]))
  : [[360, "light"], [1280, "dark"]];

/** A token of the gateway: 30 bytes and a checksum, as `gateway token new` makes them. */
const TOKENS = {};
let gateway, browser, directory;

async function authFile() {
  const { execFileSync } = await import("node:child_process");
  const make = (name, role) => {
    const made = execFileSync(join(ROOT, "bin/gateway"), ["token", "new", "--name", name, "--role", role],
      { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    TOKENS[name] = /kvgw_\w+/.exec(made)[0];
    const sha256 = createHash("sha256").update(TOKENS[name]).digest("hex");
    return `  - { name: ${name}, sha256: "${sha256}", roles: [${role}] }\n`;
  };
  const file = join(directory, "auth.yaml");
  await writeFile(file, `roles:
  operator:
    - { bucket: "*", can: [admin] }
  clerk:
    - { bucket: shop, keys: ["orders.>"], can: [read] }
tokens:
${make("ann", "operator")}${make("bob", "clerk")}`);
  return file;
}

before(async () => {
  assert.ok(CHROMIUM, "no Chromium is installed");
  await mkdir(OUTPUT, { recursive: true });
  directory = await mkdtemp(join(tmpdir(), "kvgw-console-"));
  gateway = await Gateway.start("--auth-file", await authFile());
  browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Makes a request as the operator. */
async function api(method, path, body, headers = {}) {
  const response = await fetch(gateway.url + path, {
    method, body, headers: { Authorization: `Bearer ${TOKENS.ann}`, ...headers },
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}

const JSON_TYPE = { "Content-Type": "application/json" };
const createBucket = (name, config = {}) =>
  api("PUT", `/buckets/${name}`, JSON.stringify(config), JSON_TYPE);
const put = (bucket, key, body, type = "application/json", query = "") =>
  api("PUT", `/buckets/${bucket}/keys/~?key=${encodeURIComponent(key)}${query}`, body,
    { "Content-Type": type });

/** The answers that a test refuses on purpose; the browser logs each as an error. */
const REFUSED = /the server responded with a status of 4(01|03|04|09|12)|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET/;

/** Opens the console. Its pages may not complain, break their policy, or ask another origin. */
async function open(t, who = "ann", options = {}) {
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
      if (origin !== gateway.url && protocol !== "blob:") complaints.push(`asked for ${request.url()}`);
    });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(`${gateway.url}/console/`);
  await page.getByLabel("Token").fill(TOKENS[who]);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Buckets" }).waitFor();
  return page;
}

/** Goes to a screen without a reload, which would sign out. */
const go = (page, hash) => page.evaluate((to) => { location.hash = to; }, hash);

/** What axe finds that keeps people from using a page, as "rule: element". */
async function barriers(page) {
  await page.evaluate(axe.source); // A script of the page's own would break its policy.
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
}

test("a bucket is created, changed and deleted by typing its name", async (t) => {
  const page = await open(t);
  await page.getByRole("button", { name: "Create bucket" }).click();
  await page.getByLabel("Name").fill("not a name");
  await page.getByText("Use letters, digits").waitFor();
  assert.equal(await page.getByRole("dialog").getByRole("button", { name: "Create bucket" }).isDisabled(), true);
  await page.getByLabel("Name").fill("carts");
  await page.getByLabel("Revisions kept").fill("5");
  await page.getByRole("dialog").getByRole("button", { name: "Create bucket" }).click();
  const row = page.getByRole("row").filter({ hasText: "carts" });
  await row.getByText("5 revisions").waitFor();
  assert.equal((await (await api("GET", "/buckets/carts")).json()).history, 5);

  await put("carts", "a", "1"); // By another client, and the page shows it by itself.
  await until("the size is live", async () =>
    (await row.getByRole("cell").first().textContent()) === "1");

  await row.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Entries end after").fill("24h");
  await page.getByRole("button", { name: "Save settings" }).click();
  await row.getByText("5 revisions, 24h").waitFor();
  const { ttl, history } = await (await api("GET", "/buckets/carts")).json();
  assert.deepEqual({ ttl, history }, { ttl: "24h0m0s", history: 5 });

  await row.getByRole("button", { name: "Delete" }).click();
  const button = page.getByRole("button", { name: "Delete bucket" });
  await page.getByLabel("The name of the bucket").fill("cart");
  assert.equal(await button.isDisabled(), true);
  await page.getByLabel("The name of the bucket").fill("carts");
  await button.click();
  await row.waitFor({ state: "detached" });
  await assert.rejects(api("GET", "/buckets/carts"), /404/);
});

test("what the caller may not do is not offered", async (t) => {
  await createBucket("shop");
  const page = await open(t, "bob");
  await page.getByText("bob").waitFor();
  assert.equal(await page.getByRole("button", { name: "Create bucket" }).count(), 0);
  assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
});

test("a lost gateway is shown, and the page goes on when it is back", async (t) => {
  const page = await open(t);
  await gateway.kill();
  await page.getByText("The gateway does not answer").waitFor();
  await gateway.run();
  await createBucket("afterwards");
  await page.getByRole("link", { name: "afterwards" }).waitFor();
  await page.getByText("The gateway does not answer").waitFor({ state: "detached" });
  await api("DELETE", "/buckets/afterwards");
});
