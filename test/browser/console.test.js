/** Uses the console in Chromium against the built gateway, with authentication on. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Console, OUTPUT, directory, go } from "./console-harness.js";
import { until } from "./harness.js";

let it;
before(async () => { it = await Console.start(); });
after(() => it?.stop());

test("a bucket is created, changed and deleted by typing its name", async (t) => {
  const page = await it.open(t);
  await page.getByRole("button", { name: "Create bucket" }).click();
  await page.getByLabel("Name").fill("not a name");
  await page.getByText("Use letters, digits").waitFor();
  assert.equal(await page.getByRole("dialog").getByRole("button", { name: "Create bucket" }).isDisabled(), true);
  await page.getByLabel("Name").fill("carts");
  await page.getByLabel("Revisions kept").fill("5");
  await page.getByRole("dialog").getByRole("button", { name: "Create bucket" }).click();
  const row = page.getByRole("row").filter({ hasText: "carts" });
  await row.getByText("5 revisions").waitFor();
  assert.equal((await (await it.api("GET", "/buckets/carts")).json()).history, 5);

  await it.put("carts", "a", "1"); // By another client, and the page shows it by itself.
  await until("the size is live", async () =>
    (await row.getByRole("cell").first().textContent()) === "1");

  await row.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Entries end after").fill("24h");
  await page.getByRole("button", { name: "Save settings" }).click();
  await row.getByText("5 revisions, 24h").waitFor();
  const { ttl, history } = await (await it.api("GET", "/buckets/carts")).json();
  assert.deepEqual({ ttl, history }, { ttl: "24h0m0s", history: 5 });

  await row.getByRole("button", { name: "Delete" }).click();
  const button = page.getByRole("button", { name: "Delete bucket" });
  await page.getByLabel("The name of the bucket").fill("cart");
  assert.equal(await button.isDisabled(), true);
  await page.getByLabel("The name of the bucket").fill("carts");
  await button.click();
  await row.waitFor({ state: "detached" });
  await assert.rejects(it.api("GET", "/buckets/carts"), /404/);
});

test("what the caller may not do is not offered", async (t) => {
  await it.createBucket("shop");
  const page = await it.open(t, "bob");
  await page.getByText("bob", { exact: true }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Create bucket" }).count(), 0);
  assert.equal(await page.getByRole("button", { name: "Delete" }).count(), 0);
  await it.put("shop", "orders.1", "{}");
  await it.put("shop", "stock.1", "{}");
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
  const page = await it.open(t);
  await it.gateway.kill();
  await page.getByText("The gateway does not answer").waitFor();
  await it.gateway.run();
  await it.createBucket("afterwards");
  await page.getByRole("link", { name: "afterwards" }).waitFor();
  await page.getByText("The gateway does not answer").waitFor({ state: "detached" });
  await it.api("DELETE", "/buckets/afterwards");
});

test("keys are a tree that stays open, and are found inside folders", async (t) => {
  await it.createBucket("trees", { history: 3 });
  for (const key of ["orders.2024.a", "orders.2024.b", "orders.2025.c", "stock.x"]) {
    await it.put("trees", key, "{}");
  }
  const page = await it.open(t);
  await go(page, "#/b/trees");
  await page.getByRole("button", { name: "orders." }).first().click();
  await page.getByRole("button", { name: "2024." }).first().click();
  await page.getByRole("link", { name: "a", exact: true }).waitFor();
  await it.put("trees", "orders.2024.new", "{}"); // By somebody else, and the tree stays open.
  await page.getByRole("link", { name: "new", exact: true }).waitFor();
  await page.getByRole("link", { name: "a", exact: true }).waitFor();

  await page.getByRole("searchbox").fill("2025.C");
  await page.getByRole("link", { name: "orders.2025.c" }).waitFor();
  await page.getByRole("searchbox").fill("");

  await page.getByRole("button", { name: "Copy orders.2024." }).click({ force: true });
  await page.getByLabel("New folder").fill("old.orders");
  await page.getByRole("button", { name: "Copy folder" }).click();
  await page.getByText("3 entries were copied to old.orders.").waitFor();
  assert.equal(await (await it.api("GET", "/buckets/trees/keys/old.orders.a")).text(), "{}");

  await page.getByRole("button", { name: "Delete orders.2024." }).click({ force: true });
  await page.getByRole("dialog").getByText("orders.2024.new").waitFor(); // The dry run.
  await it.api("GET", "/buckets/trees/keys/orders.2024.a");
  await page.getByRole("button", { name: "Delete 3 keys" }).click();
  await page.getByText("3 keys were deleted.").waitFor();
  await assert.rejects(it.api("GET", "/buckets/trees/keys/orders.2024.a"), /404/);
});

test("an entry is changed byte for byte, and its time to live stays", async (t) => {
  await it.createBucket("exact", { limit_marker_ttl: "10m" });
  const before = '{"big": 12345678901234567890,\r\n "odd": "\u202e\u2028é\\u00e9", "x": 1.0}';
  await it.put("exact", "a", before, "application/json", "&ttl=1h");
  const page = await it.open(t);
  await go(page, "#/b/exact/k/a");
  await page.getByText("Ends in").waitFor();
  await page.getByRole("button", { name: "Edit" }).click();
  const editor = page.getByRole("textbox", { name: "Value" });
  await editor.click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type(" ");
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByText("was stored as revision").waitFor();
  const after = await it.api("GET", "/buckets/exact/keys/a");
  assert.equal(await after.text(), `${before} `);
  assert.match(after.headers.get("KV-TTL"), /^59m|^1h/);
});

test("a conflict shows theirs, yours and the base, and merges them", async (t) => {
  await it.createBucket("conflicts", { history: 5 });
  await it.put("conflicts", "a", "one\ntwo\nthree", "text/plain");
  const page = await it.open(t);
  await go(page, "#/b/conflicts/k/a");
  await page.getByRole("button", { name: "Edit" }).click();
  await page.getByRole("textbox", { name: "Value" }).click();
  await page.keyboard.press("Control+End");
  await page.keyboard.type("!");
  await it.put("conflicts", "a", "ONE\ntwo\nthree", "text/plain");
  await page.getByText("Somebody else has stored revision 2").waitFor();
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByText("Theirs, compared with the base").waitFor();
  await page.screenshot({ path: join(OUTPUT, "conflict.png"), fullPage: true });
  await page.getByRole("button", { name: "Merge both" }).click();
  await page.getByRole("button", { name: "Store" }).click();
  await page.getByText("was stored as revision 3").waitFor();
  assert.equal(await (await it.api("GET", "/buckets/conflicts/keys/a")).text(), "ONE\ntwo\nthree!");

  await page.getByRole("link", { name: "History" }).click();
  await page.getByRole("button", { name: "revision 1" }).click();
  await page.getByRole("button", { name: "Restore revision 1" }).click();
  await page.getByText("Revision 1 was stored again").waitFor();
  assert.equal(await (await it.api("GET", "/buckets/conflicts/keys/a")).text(), "one\ntwo\nthree");
});

test("hostile keys and values are text", async (t) => {
  const value = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202egnp.exe';
  const key = `a.${"k/".repeat(500)}end`;
  await it.createBucket("hostile", { description: "<b onmouseover=alert(3)>bold</b>" });
  await it.put("hostile", key, value, "text/html");
  await it.put("hostile", "svg", '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(4)</script></svg>', "image/svg+xml");
  const page = await it.open(t, "ann", { viewport: { width: 360, height: 740 } });
  await page.getByText("<b onmouseover=alert(3)>bold</b>").waitFor();
  await go(page, `#/b/hostile/k/${encodeURIComponent(key)}`);
  await page.getByText("<script>alert(2)</script>").waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${wide} px too wide`);
  await go(page, "#/b/hostile/k/svg");
  await page.getByRole("img", { name: "The value of svg" }).waitFor();
});

test("a watch shows changes at once, pauses, resumes, and says why a stream begins anew", async (t) => {
  await it.createBucket("watched");
  const page = await it.open(t);
  await go(page, "#/b/watched/watch");
  await page.getByText(/Resume id: \d/).waitFor();
  const at = performance.now();
  await it.put("watched", "orders.1", "1");
  await page.getByRole("link", { name: "orders.1" }).waitFor();
  assert.ok(performance.now() - at < 1000, `a change shows after ${performance.now() - at} ms`);
  await page.getByRole("button", { name: "Pause" }).click();
  await it.put("watched", "orders.2", "1");
  await page.getByText("2 events. Resume").waitFor();
  assert.equal(await page.getByRole("link", { name: "orders.2" }).count(), 0);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByLabel("Filter").fill("stock.>");
  await Promise.all([page.waitForResponse((response) => response.url().includes("stock")),
    page.getByRole("button", { name: "Watch", exact: true }).click()]);
  await it.put("watched", "orders.3", "1");
  await it.put("watched", "stock.1", "1");
  await page.getByRole("link", { name: "stock.1" }).waitFor();
  assert.equal(await page.getByRole("link", { name: "orders.3" }).count(), 0);
  await page.getByLabel("Resume after the id").fill("999999-zzz");
  await page.getByRole("button", { name: "Watch", exact: true }).click();
  await page.getByText("the bucket was deleted and created again").waitFor();
});

test("an export is imported into another bucket, byte for byte", async (t) => {
  await it.createBucket("source");
  await it.createBucket("target");
  for (let i = 0; i < 1500; i++) await it.put("source", `k.${i}`, `{"n": ${i}0000000000000000001}`);
  await it.put("target", "k.7", "mine", "text/plain");
  const page = await it.open(t);
  await go(page, "#/b/source/transfer");
  const [download] = await Promise.all([page.waitForEvent("download"),
    page.getByRole("button", { name: "Export" }).click()]);
  const file = join(directory, "source.ndjson");
  await download.saveAs(file);
  await go(page, "#/b/target/transfer");
  await page.getByLabel("File").setInputFiles(file);
  await page.getByRole("button", { name: "Import" }).click();
  await page.getByText("1,500 lines sent, 1,499 stored, 1 not. The import is complete.").waitFor();
  const read = async (key) => (await it.api("GET", `/buckets/target/keys/${key}`)).text();
  assert.equal(await read("k.1499"), '{"n": 14990000000000000000001}');
  assert.equal(await read("k.7"), "mine");
});

test("the status says who the caller is and what they may do", async (t) => {
  const page = await it.open(t, "bob");
  await page.getByRole("link", { name: "Status" }).click();
  await page.getByText("orders.>").waitFor();
  await page.getByText("are served").waitFor();
});
