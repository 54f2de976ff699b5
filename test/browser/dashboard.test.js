/** Runs the live dashboard and the browser's own EventSource in Chromium, against the gateway. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, ROOT, startDashboard, until } from "./harness.js";

const OUTPUT = join(ROOT, "test", "output");
const PATIENCE = { timeout: 20_000 };

let gateway, dashboard, browser;
before(async () => {
  assert.ok(CHROMIUM, "no Chromium is installed");
  await mkdir(OUTPUT, { recursive: true });
  gateway = await Gateway.start();
  dashboard = await startDashboard(gateway);
  browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
});
after(async () => {
  await browser?.close();
  await dashboard?.stop();
  await gateway?.stop();
});

/** Creates a bucket such as a shop would have. */
async function fill(bucket) {
  await gateway.createBucket(bucket, { history: 5 });
  const orders = ["open", "paid", "packed", "sent", "open", "returned"];
  for (const [i, state] of orders.entries()) {
    await gateway.put(bucket, `orders.${17 + i}`, { customer: `c-${4 + i * 3}`, qty: 1 + ((i * 5) % 7), state });
  }
  for (const [name, left] of [["apples", 120], ["pears", 43], ["plums", 0]]) await gateway.put(bucket, `stock.${name}`, left);
  await gateway.send("PUT", `/buckets/${bucket}/keys/notes/today`, "Deliver before noon, please", { "Content-Type": "text/plain" });
  const logo = Uint8Array.from({ length: 64 }, (_, i) => 255 - i);
  await gateway.send("PUT", `/buckets/${bucket}/keys/files/logo.png`, logo, { "Content-Type": "image/png" });
}

/** Opens the dashboard. The test fails if the page logs an error. */
async function open(t, bucket, { filter = "", colorScheme = "light" } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 760 }, colorScheme });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (line) => {
    // The browser itself logs each lost connection and each refused write.
    if (line.type() === "error" && !/Failed to load resource|ERR_/.test(line.text())) complaints.push(line.text());
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(`${dashboard.url}/?${new URLSearchParams({ bucket, ...(filter && { filter }) })}`);
  await status(page, "Live");
  return page;
}

const status = (page, text) => page.locator("#status", { hasText: text }).waitFor(PATIENCE);
const row = (page, key) => page.locator(`#rows tr[data-key="${key}"]:not(.gone)`);
const shows = (page, key, text) => row(page, key).filter({ hasText: text }).waitFor(PATIENCE);
const keys = (page) => page.locator("#rows tr:not(.gone)").evaluateAll((rows) => rows.map((row) => row.dataset.key));

test("changes appear, and what was changed while the gateway was dead too", async (t) => {
  await fill("shop");
  const page = await open(t, "shop");
  assert.equal((await keys(page)).length, 11);
  assert.deepEqual(await keys(page), (await keys(page)).toSorted());

  await gateway.put("shop", "orders.18", { customer: "c-7", qty: 6, state: "sent" });
  await shows(page, "orders.18", '"state":"sent"');
  const isChanged = (element) => element.classList.contains("changed");
  assert.ok(await row(page, "orders.18").evaluate(isChanged), "the change is highlighted");
  await gateway.put("shop", "orders.23", { qty: 1 });
  await shows(page, "orders.23", '"qty":1');
  await gateway.remove("shop", "stock.plums");
  await row(page, "stock.plums").waitFor({ state: "detached", ...PATIENCE });

  await gateway.kill();
  await status(page, "Reconnecting");
  assert.equal(await row(page, "orders.18").count(), 1, "what was known stays");
  await page.screenshot({ path: join(OUTPUT, "dashboard-reconnecting.png") });
  await gateway.run();
  await gateway.put("shop", "orders.24", { qty: 2 });
  await gateway.remove("shop", "orders.17");
  await shows(page, "orders.24", '"qty":2');
  await status(page, "Live");
  await row(page, "orders.17").waitFor({ state: "detached", ...PATIENCE });
  const listed = await gateway.send("GET", "/buckets/shop/keys");
  assert.deepEqual(await keys(page), listed.keys.toSorted());
});

test("two people edit one key: the second is told, and nothing is lost", async (t) => {
  await fill("desk");
  const [mine, theirs] = [await open(t, "desk"), await open(t, "desk", { colorScheme: "dark" })];
  for (const page of [mine, theirs]) await row(page, "stock.pears").getByRole("button").click();
  await theirs.locator("#value").fill("41");
  await theirs.locator("#save").click();
  await theirs.locator("#message.done", { hasText: "Stored as revision" }).waitFor(PATIENCE);

  await mine.locator("#message.conflict", { hasText: "somebody else stored revision" }).waitFor(PATIENCE);
  await mine.locator("#value").fill("40");
  await mine.locator("#save").click();
  await mine.locator("#message.conflict", { hasText: "412" }).waitFor(PATIENCE);
  assert.equal((await gateway.send("GET", "/buckets/desk/entries/stock.pears")).value, 41);
  await mine.screenshot({ path: join(OUTPUT, "dashboard-conflict.png") });
  await theirs.screenshot({ path: join(OUTPUT, "dashboard-dark.png") });

  await mine.getByRole("button", { name: "Take theirs" }).click();
  assert.equal(await mine.locator("#value").inputValue(), "41");
  await mine.locator("#value").fill("40");
  await mine.locator("#save").click();
  await mine.locator("#message.done").waitFor(PATIENCE);
  await shows(theirs, "stock.pears", "40");

  await mine.locator("#remove").click();
  await mine.locator("#message.done", { hasText: "is deleted" }).waitFor(PATIENCE);
  await row(theirs, "stock.pears").waitFor({ state: "detached", ...PATIENCE });
});

test("a key is created once, whatever its name", async (t) => {
  await fill("names");
  const page = await open(t, "names");
  for (const key of ["a/./b", "c//d", "=_-"]) {
    await page.locator("#fresh").click();
    await page.locator("#key").fill(key);
    await page.locator("#value").fill("of the form");
    await page.locator("#save").click();
    await shows(page, key, "of the form");
  }
  await page.locator("#fresh").click();
  await page.locator("#key").fill("stock.apples");
  await page.locator("#save").click();
  await page.locator("#message.conflict", { hasText: "has a value already" }).waitFor(PATIENCE);
});

test("filter and bucket are chosen in the page and stay in its address", async (t) => {
  await fill("first");
  await fill("second");
  const page = await open(t, "first", { filter: "stock.>" });
  assert.deepEqual(await keys(page), ["stock.apples", "stock.pears", "stock.plums"]);
  await page.locator("#filter").fill("orders.1*");
  await page.locator("#filter").press("Enter");
  await status(page, "Refused");
  await page.locator("#notice", { hasText: "offset" }).waitFor(PATIENCE);
  await page.locator("#filter").fill("notes.>");
  await page.locator("#filter").press("Enter");
  await page.locator("#empty", { hasText: "No key matches" }).waitFor(PATIENCE);
  await page.locator("#filter").fill("");
  await page.locator("#filter").press("Enter");
  await until("all keys", async () => (await keys(page)).length === 11);
  await page.locator("#bucket").selectOption("second");
  await gateway.put("second", "only.here", 1);
  await shows(page, "only.here", "1");
  assert.equal(new URL(page.url()).searchParams.get("bucket"), "second");
});

test("a bucket that is deleted and created again", async (t) => {
  await fill("again");
  const page = await open(t, "again");
  await gateway.send("DELETE", "/buckets/again");
  await status(page, "deleted");
  await until("no rows", async () => (await keys(page)).length === 0);
  await gateway.createBucket("again");
  await gateway.put("again", "orders.17", "of the new one");
  await shows(page, "orders.17", "of the new one");
  await status(page, "Live");
});

test("the browser's EventSource resumes with Last-Event-ID by itself", async (t) => {
  await fill("raw");
  const page = await open(t, "names");
  await page.evaluate(() => {
    window.seen = [];
    window.source = new EventSource("/buckets/raw/watch?heartbeat=1s");
    for (const name of ["put", "delete", "sync", "reset"]) {
      window.source.addEventListener(name, ({ type, data }) => window.seen.push([type, JSON.parse(data).key]));
    }
  });
  const seen = () => page.evaluate(() => window.seen);
  await until("sync", async () => (await seen()).some(([type]) => type === "sync"));
  const before = (await seen()).length;
  await gateway.kill();
  await gateway.run();
  await gateway.put("raw", "new", 1);
  await until("the new key", async () => (await seen()).some(([, key]) => key === "new"));
  await gateway.remove("raw", "new");
  await until("its removal", async () => (await seen()).some(([type]) => type === "delete"));
  const after = (await seen()).slice(before).filter(([type]) => type !== "sync");
  assert.deepEqual(after, [["put", "new"], ["delete", "new"]], "no snapshot, no reset, nothing twice");
});

test("a picture of it", async (t) => {
  await fill("picture");
  const page = await open(t, "picture");
  await row(page, "orders.20").getByRole("button").click();
  await gateway.put("picture", "orders.18", { customer: "c-7", qty: 6, state: "packed" });
  await shows(page, "orders.18", "packed");
  await page.screenshot({ path: join(OUTPUT, "dashboard.png") });
  await page.setViewportSize({ width: 420, height: 900 });
  await page.screenshot({ path: join(OUTPUT, "dashboard-narrow.png") });
});
