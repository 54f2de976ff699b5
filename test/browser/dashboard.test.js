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

/** Edits a key in the page, and waits until that is stored. */
async function edit(page, key, text) {
  await row(page, key).getByRole("button").click();
  await page.locator("#value").fill(text);
  await page.locator("#save").click();
}
const done = (page) => page.locator("#message.done", { hasText: "Stored as revision" }).waitFor(PATIENCE);

test("an edit changes the value alone: type, time to live and large integers stay", async (t) => {
  await gateway.createBucket("kept", { limit_marker_ttl: "1s", history: 1 });
  await gateway.createBucket("aged", { limit_marker_ttl: "1s", ttl: "1h" });
  const store = (bucket, key, body, type, query = "") =>
    gateway.send("PUT", `/buckets/${bucket}/keys/${key}${query}`, body, type ? { "Content-Type": type } : {});
  const entry = (bucket, key) => gateway.send("GET", `/buckets/${bucket}/entries/${key}`);
  const bytes = (text) => new TextEncoder().encode(text); // fetch sends no type of its own.
  const order = '{"id": 9007199254740993, "qty": 1.50}';
  await store("kept", "order", order, "application/vnd.shop+json", "?ttl=1h");
  await store("kept", "note", "# one", "text/markdown", "?ttl=30m");
  await store("kept", "plain", bytes("1"));
  const page = await open(t, "kept");
  await shows(page, "order", "9007199254740993");

  const before = await entry("kept", "order");
  await row(page, "order").getByRole("button").click();
  const shown = await page.locator("#value").inputValue();
  assert.equal(shown, order, "it is shown as it is stored");
  await edit(page, "order", shown.replace("1.50", "2"));
  await done(page);
  const answer = await fetch(`${gateway.url}/buckets/kept/keys/order`);
  assert.equal(await answer.text(), '{"id": 9007199254740993, "qty": 2}');
  const after = await entry("kept", "order");
  assert.equal(after.content_type, "application/vnd.shop+json");
  const moved = Date.parse(after.expires) - Date.parse(before.expires);
  assert.ok(Math.abs(moved) < 5000, `its end moved by ${moved} ms`);

  await edit(page, "note", "# two");
  await done(page);
  const note = await entry("kept", "note");
  assert.deepEqual([note.text, note.content_type, Boolean(note.expires)], ["# two", "text/markdown", true]);
  await edit(page, "plain", "2");
  await done(page);
  const plain = await entry("kept", "plain");
  assert.deepEqual([plain.text, plain.content_type, plain.expires], ["2", undefined, undefined]);

  await edit(page, "order", "none any more");
  await page.locator("#message.error", { hasText: "holds JSON" }).waitFor(PATIENCE);
  assert.equal((await entry("kept", "order")).revision, after.revision, "nothing was stored");
  await page.getByRole("button", { name: "Store as text" }).click();
  await done(page);
  assert.match((await entry("kept", "order")).content_type, /^text\/plain/);

  // Where the bucket gives all entries the same time, an edit begins it anew, as any write does.
  await store("aged", "a", "1", "text/plain");
  const aged = await open(t, "aged");
  await edit(aged, "a", "2");
  await done(aged);
  const { created, expires } = await entry("aged", "a");
  assert.equal(Math.round((Date.parse(expires) - Date.parse(created)) / 1000), 3600);
});

const refused = (page, why) =>
  page.locator("#message.error", { hasText: "Nothing was stored" }).filter({ hasText: why })
    .waitFor(PATIENCE);
const entryOf = (bucket, key) => gateway.send("GET", `/buckets/${bucket}/entries/${key}`);

test("an edit stores nothing while the time that an entry has left is not known", async (t) => {
  await gateway.createBucket("unknown", { limit_marker_ttl: "1s", history: 1 });
  await gateway.send("PUT", "/buckets/unknown/keys/a?ttl=1h", "one", { "Content-Type": "text/plain" });
  const { revision } = await entryOf("unknown", "a");
  const page = await open(t, "unknown");
  await shows(page, "a", "one");
  const refusal = {
    status: 503, contentType: "application/problem+json",
    body: JSON.stringify({ title: "NATS is away", detail: "Try again.", status: 503 }),
  };
  const bucket = (url) => url.pathname === "/buckets/unknown";
  const key = (url) => url.pathname === "/buckets/unknown/keys/a" && url.search === "";
  const onHead = (answer) => (route) =>
    route.request().method() === "HEAD" ? answer(route) : route.continue();
  const refuse = (route) => route.fulfill(refusal);
  const cut = (route) => route.abort();
  for (const [url, answer, text] of [
    [bucket, refuse, "503"], [bucket, cut, "could not be found out"],
    [key, onHead(refuse), "503"], [key, onHead(cut), "could not be found out"],
  ]) {
    await page.route(url, answer);
    await edit(page, "a", "two");
    await refused(page, text);
    assert.equal(await page.locator("#value").inputValue(), "two", "the text stays");
    assert.equal((await entryOf("unknown", "a")).revision, revision);
    await page.unroute(url);
  }
  await page.locator("#save").click();
  await done(page);
  const stored = await entryOf("unknown", "a");
  assert.deepEqual([stored.text, Boolean(stored.expires)], ["two", true]);
});

const MARKDOWN = { "Content-Type": "text/markdown" };

test("an entry that lives too short to be edited can be prolonged", async (t) => {
  await gateway.createBucket("short", { limit_marker_ttl: "1h", history: 5 });
  await gateway.send("PUT", "/buckets/short/keys/a?ttl=1h", "one", MARKDOWN);
  const { revision } = await entryOf("short", "a");
  const page = await open(t, "short");
  await edit(page, "a", "two");
  await refused(page, "nothing for less than 1h");
  assert.equal((await entryOf("short", "a")).revision, revision);
  assert.equal(await page.locator("#value").inputValue(), "two", "the text stays");
  await page.getByRole("button", { name: "Store for 1h" }).click();
  await done(page);
  const { text, content_type, created, expires } = await entryOf("short", "a");
  assert.deepEqual([text, content_type], ["two", "text/markdown"]);
  assert.equal(Math.round((Date.parse(expires) - Date.parse(created)) / 1000), 3600);
});

test("without a history, an entry with less than a second left can be prolonged", async (t) => {
  await gateway.createBucket("brief", { limit_marker_ttl: "1m", history: 1 });
  await gateway.send("PUT", "/buckets/brief/keys/a?ttl=1h", "one", MARKDOWN);
  const page = await open(t, "brief");
  // The last half second of an entry is too short for a test.
  const key = (url) => url.pathname === "/buckets/brief/keys/a" && url.search === "";
  await page.route(key, (route) => route.fulfill({ status: 200, headers: { "KV-TTL": "500ms" } }));
  await edit(page, "a", "two");
  await refused(page, "nothing for less than 1s");
  await page.getByRole("button", { name: "Store for 1s" }).click();
  await done(page);
  await row(page, "a").waitFor({ state: "detached", ...PATIENCE });
});

test("an entry that expires while it is edited can be created again", async (t) => {
  await gateway.createBucket("gone", { limit_marker_ttl: "1m", history: 1 });
  await gateway.send("PUT", "/buckets/gone/keys/a?ttl=2s", "# one", MARKDOWN);
  const page = await open(t, "gone");
  await row(page, "a").getByRole("button").click();
  await page.locator("#value").fill("# two");
  await page.locator("#message.conflict", { hasText: "this key has expired" }).waitFor(PATIENCE);
  await page.locator("#save").click();
  await refused(page, "a has expired");
  await page.getByRole("button", { name: "Create it again" }).click();
  await done(page);
  const { text, content_type, expires } = await entryOf("gone", "a");
  assert.deepEqual([text, content_type, expires], ["# two", "text/markdown", undefined]);
});

test("an edit keeps the ends of lines", async (t) => {
  await gateway.createBucket("lines");
  const page = await open(t, "lines");
  for (const [i, [before, edited, after]] of [
    ["a\r\nb\r\nc\r\n", "a\nB\nc\n", "a\r\nB\r\nc\r\n"],
    ["a\r\nb\nc\rd\n", "a\nb\nx\nc\nD\n", "a\r\nb\nx\r\nc\r\nD\n"],
    ["a\nb\n", "a\nb\nc", "a\nb\nc"],
    ["a\r\nb", "new", "new"],
    ["one", "one\ntwo", "one\ntwo"],
    ["a\r\n\r\n", "a\n\nb\n", "a\r\n\r\nb\r\n"],
  ].entries()) {
    await gateway.send("PUT", `/buckets/lines/keys/k${i}`, before, { "Content-Type": "text/plain" });
    await row(page, `k${i}`).waitFor(PATIENCE);
    await edit(page, `k${i}`, edited);
    await done(page);
    assert.equal((await entryOf("lines", `k${i}`)).text, after);
  }
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
  const page = await open(t, "raw");
  await page.evaluate(() => {
    window.seen = [];
    window.source = new EventSource("/buckets/raw/watch?heartbeat=1s");
    window.messages = 0;
    window.source.onmessage = () => window.messages++; // It is for events without a name.
    for (const name of ["put", "delete", "sync", "reset", "bookmark"]) {
      window.source.addEventListener(name, ({ type, data }) => window.seen.push([type, JSON.parse(data).key]));
    }
  });
  const seen = () => page.evaluate(() => window.seen);
  await until("sync", async () => (await seen()).some(([type]) => type === "sync"));
  await until("a bookmark", async () => (await seen()).some(([type]) => type === "bookmark"));
  const before = (await seen()).length;
  await gateway.kill();
  await gateway.run();
  await gateway.put("raw", "new", 1);
  await until("the new key", async () => (await seen()).some(([, key]) => key === "new"));
  await gateway.remove("raw", "new");
  await until("its removal", async () => (await seen()).some(([type]) => type === "delete"));
  assert.equal(await page.evaluate(() => window.messages), 0, "onmessage stays silent");
  const after = (await seen()).slice(before).filter(([type]) => !["sync", "bookmark"].includes(type));
  assert.deepEqual(after, [["put", "new"], ["delete", "new"]], "no snapshot, no reset, nothing twice");
});

test("a tab that opens the address of a stream is told how to watch", async (t) => {
  await fill("tab");
  const page = await open(t, "tab");
  const tab = await page.context().newPage();
  const response = await tab.goto(`${gateway.url}/buckets/tab/watch`);
  assert.equal(response.status(), 406);
  await tab.locator("body", { hasText: "addEventListener" }).waitFor(PATIENCE);
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
