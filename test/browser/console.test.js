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
  await page.getByText("bob", { exact: true }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Create bucket" }).count(), 0);
  assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0);
  await put("shop", "orders.1", "{}");
  await put("shop", "stock.1", "{}");
  await go(page, "#/b/shop");
  await page.getByRole("button", { name: "orders." }).first().click();
  await page.getByRole("link", { name: "1", exact: true }).waitFor();
  assert.equal(await page.getByText("stock.").count(), 0);
  assert.equal(await page.getByRole("link", { name: "New key" }).count(), 0);
  assert.equal(await page.getByRole("button", { name: /^(Delete|Copy) orders/ }).count(), 0);
  await page.getByRole("link", { name: "1", exact: true }).click();
  await page.getByRole("link", { name: "History" }).waitFor();
  for (const name of ["Edit", "Upload", "Delete"]) {
    assert.equal(await page.getByRole("button", { name, exact: true }).count(), 0, name);
  }
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

test("keys are a tree that stays open, and are found inside folders", async (t) => {
  await createBucket("trees", { history: 3 });
  for (const key of ["orders.2024.a", "orders.2024.b", "orders.2025.c", "stock.x"]) {
    await put("trees", key, "{}");
  }
  const page = await open(t);
  await go(page, "#/b/trees");
  await page.getByRole("button", { name: "orders." }).first().click();
  await page.getByRole("button", { name: "2024." }).first().click();
  await page.getByRole("link", { name: "a", exact: true }).waitFor();
  await put("trees", "orders.2024.new", "{}"); // By somebody else, and the tree stays open.
  await page.getByRole("link", { name: "new", exact: true }).waitFor();
  await page.getByRole("link", { name: "a", exact: true }).waitFor();

  await page.getByRole("searchbox").fill("2025.C");
  await page.getByRole("link", { name: "orders.2025.c" }).waitFor();
  await page.getByRole("searchbox").fill("");

  await page.getByRole("button", { name: "Copy orders.2024." }).click({ force: true });
  await page.getByLabel("New folder").fill("old.orders");
  await page.getByRole("button", { name: "Copy folder" }).click();
  await page.getByText("3 entries were copied to old.orders.").waitFor();
  assert.equal(await (await api("GET", "/buckets/trees/keys/old.orders.a")).text(), "{}");

  await page.getByRole("button", { name: "Delete orders.2024." }).click({ force: true });
  await page.getByRole("dialog").getByText("orders.2024.new").waitFor(); // The dry run.
  await api("GET", "/buckets/trees/keys/orders.2024.a");
  await page.getByRole("button", { name: "Delete 3 keys" }).click();
  await page.getByText("3 keys were deleted.").waitFor();
  await assert.rejects(api("GET", "/buckets/trees/keys/orders.2024.a"), /404/);
});

test("an entry is changed byte for byte, and its time to live stays", async (t) => {
  await createBucket("exact", { limit_marker_ttl: "10m" });
  const before = '{"big": 12345678901234567890,\r\n "odd": "\u202e\u2028é\\u00e9", "x": 1.0}';
  await put("exact", "a", before, "application/json", "&ttl=1h");
  const page = await open(t);
  await go(page, "#/b/exact/k/a");
  await page.getByText("Ends in").waitFor();
  await page.getByRole("button", { name: "Edit" }).click();
  const editor = page.getByRole("textbox", { name: "Value" });
  await editor.click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(" ");
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByText("was stored as revision").waitFor();
  const after = await api("GET", "/buckets/exact/keys/a");
  assert.equal(await after.text(), `${before} `);
  assert.match(after.headers.get("KV-TTL"), /^59m|^1h/);
});

test("a conflict shows theirs, yours and the base, and merges them", async (t) => {
  await createBucket("conflicts", { history: 5 });
  await put("conflicts", "a", "one\ntwo\nthree", "text/plain");
  const page = await open(t);
  await go(page, "#/b/conflicts/k/a");
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("textbox", { name: "Value" }).click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type("!");
  await put("conflicts", "a", "ONE\ntwo\nthree", "text/plain");
  await page.getByText("Somebody else has stored revision 2").waitFor();
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByText("Theirs, compared with the base").waitFor();
  await page.screenshot({ path: join(OUTPUT, "conflict.png"), fullPage: true });
  await page.getByRole("button", { name: "Merge both" }).click();
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByText("was stored as revision 3").waitFor();
  assert.equal(await (await api("GET", "/buckets/conflicts/keys/a")).text(), "ONE\ntwo\nthree!");

  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("button", { name: "revision 1" }).click();
  await page.getByRole("button", { name: "Restore revision 1" }).click();
  await page.getByText("Revision 1 was stored again").waitFor();
  assert.equal(await (await api("GET", "/buckets/conflicts/keys/a")).text(), "one\ntwo\nthree");
});

test("hostile keys and values are text", async (t) => {
  const value = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202egnp.exe';
  const key = `a.${"k/".repeat(500)}end`;
  await createBucket("hostile", { description: "<b onmouseover=alert(3)>bold</b>" });
  await put("hostile", key, value, "text/html");
  await put("hostile", "svg", '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(4)</script></svg>', "image/svg+xml");
  const page = await open(t, "ann", { viewport: { width: 360, height: 740 } });
  await page.getByText("<b onmouseover=alert(3)>bold</b>").waitFor();
  await go(page, `#/b/hostile/k/${encodeURIComponent(key)}`);
  await page.getByText("<script>alert(2)</script>").waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${wide} px too wide`);
  await go(page, "#/b/hostile/k/svg");
  await page.getByRole("img", { name: "The value of svg" }).waitFor();
});

test("a watch shows changes at once, pauses, resumes, and says why a stream begins anew", async (t) => {
  await createBucket("watched");
  const page = await open(t);
  await go(page, "#/b/watched/watch");
  await page.getByText(/Resume id: \d/).waitFor();
  const at = performance.now();
  await put("watched", "orders.1", "1");
  await page.getByRole("link", { name: "orders.1" }).waitFor();
  assert.ok(performance.now() - at < 1000, `a change shows after ${performance.now() - at} ms`);
  await page.getByRole("button", { name: "Pause" }).click();
  await put("watched", "orders.2", "1");
  await page.getByText("2 events. Resume").waitFor();
  assert.equal(await page.getByRole("link", { name: "orders.2" }).count(), 0);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByLabel("Filter").fill("stock.>");
  await Promise.all([page.waitForResponse((response) => response.url().includes("stock")),
    page.getByRole("button", { name: "Watch", exact: true }).click()]);
  await put("watched", "orders.3", "1");
  await put("watched", "stock.1", "1");
  await page.getByRole("link", { name: "stock.1" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "orders.3" }).count(), 0);
  await page.getByLabel("Resume after the id").fill("999999-zzz");
  await page.getByRole("button", { name: "Watch", exact: true }).click();
  await page.getByText("the bucket was deleted and created again").waitFor();
});

test("an export is imported into another bucket, byte for byte", async (t) => {
  await createBucket("source");
  await createBucket("target");
  for (let i = 0; i < 1500; i++) await put("source", `k.${i}`, `{"n": ${i}0000000000000000001}`);
  await put("target", "k.7", "mine", "text/plain");
  const page = await open(t);
  await go(page, "#/b/source/transfer");
  const [download] = await Promise.all([page.waitForEvent("download"),
    page.getByRole("button", { name: "Export" }).click()]);
  const file = join(directory, "source.ndjson");
  await download.saveAs(file);
  await go(page, "#/b/target/transfer");
  await page.getByLabel("File").setInputFiles(file);
  await page.getByRole("button", { name: "Import" }).click();
  await page.getByText("1,500 lines sent, 1,499 stored, 1 not. The import is complete.").waitFor();
  const read = async (key) => (await api("GET", `/buckets/target/keys/${key}`)).text();
  assert.equal(await read("k.1499"), '{"n": 14990000000000000000001}');
  assert.equal(await read("k.7"), "mine");
});

test("the status says who the caller is and what they may do", async (t) => {
  const page = await open(t, "bob");
  await page.getByRole("link", { name: "Status" }).click();
  await page.getByText("orders.>").waitFor();
  await page.getByText("are served").waitFor();
});

for (const [width, colorScheme] of LOOKS) {
  test(`every screen at ${width} px, ${colorScheme}: nothing overflows or keeps people out`, async (t) => {
    await createBucket("looks", { history: 5, description: "What the shop sells" });
    for (const key of ["orders.17", "orders.18", "stock.chairs", "greeting"]) {
      await put("looks", key, JSON.stringify({ key, qty: 3, tags: ["a", "b"] }, null, 2));
    }
    await put("looks", "orders.17", '{\n  "qty": 4,\n  "id": 12345678901234567890\n}');
    const page = await open(t, "ann", { viewport: { width, height: HEIGHTS[width] }, colorScheme });
    const look = async (name, hash, ready) => {
      await go(page, hash);
      await ready();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
      assert.deepEqual(await barriers(page), [], name);
      await page.screenshot({ path: join(OUTPUT, `${name}-${width}-${colorScheme}.png`) });
    };
    const text = (shown) => () => page.getByText(shown).first().waitFor();
    await look("buckets", "#/", text("What the shop sells"));
    await look("keys", "#/b/looks", async () => {
      await page.getByRole("button", { name: "orders." }).first().click();
      await page.getByRole("checkbox", { name: "Select orders.18" }).check();
    });
    await look("entry", "#/b/looks/k/orders.17", text("12345678901234567890"));
    await look("edit", "#/b/looks/k/orders.17", async () => {
      await page.getByRole("button", { name: "Edit" }).click();
      await page.getByRole("textbox", { name: "Value" }).waitFor();
    });
    await look("history", "#/b/looks/h/orders.17", text("compared with"));
    await look("missing", "#/b/looks/k/nothing", text("This key has no value"));
    await look("watch", "#/b/looks/watch", async () => {
      await page.getByText(/Resume id: \d/).waitFor();
      await put("looks", "orders.19", "{}");
      await page.getByRole("link", { name: "orders.19" }).waitFor();
    });
    await look("transfer", "#/b/looks/transfer", text("Keys that are there already"));
    await look("status", "#/status", text("Who you are"));
    await look("create", "#/", async () => {
      await page.getByRole("button", { name: "Create bucket" }).click();
      await page.getByText("Limits, storage").click();
    });
  });
}
