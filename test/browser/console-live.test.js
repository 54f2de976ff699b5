/** Restarts NATS and the gateway under open pages, and compares what they show with the store. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Console, go } from "./console-harness.js";
import { NATS, until } from "./harness.js";

/** `it` serves the pages, and `other` reads and writes the same NATS while `it` is away. */
let nats, it, other;
before(async () => {
  nats = await NATS.start();
  it = await Console.start("--nats-url", nats.url);
  other = await Console.start("--nats-url", nats.url);
});
after(async () => {
  for (const started of [it, other, nats]) await started?.stop();
});

/** The names that the store has, sorted. */
const storedKeys = async (bucket) => (await (await other.api("GET", `/buckets/${bucket}/keys`)).json()).keys;

/** The keys that a page shows, sorted. */
const shownKeys = (page) => page.evaluate(() =>
  [...document.querySelectorAll(".tree a")].map(({ title }) => title).sort());

const textOf = (page, selector) => page.evaluate((at) => document.querySelector(at)?.textContent ?? "", selector);

/** The keys and their revisions that shown events, the latest first, leave. */
function foldedEvents(events) {
  const state = new Map();
  for (const [, event, text] of events.reverse()) {
    const [, key, revision] = /^(\S+) .*revision (\d+)$/.exec(text) ?? [];
    if (event === "reset") state.clear();
    else if (event === "put") state.set(key, revision);
    else if (event === "removed") text.trim().split(", ").forEach((gone) => state.delete(gone));
    else if (key) state.delete(key);
  }
  return [...state].map((pair) => pair.join("@")).sort().join();
}

async function storedRevisions() {
  const { entries } = await (await other.api("GET", "/buckets/alive/entries?values=none")).json();
  return entries.map(({ key, revision }) => `${key}@${revision}`).sort().join();
}

/** The screens that are live, each with what it must show in the end. */
const SCREENS = {
  buckets: {
    hash: "#/", ready: (page) => page.getByRole("row").filter({ hasText: "alive" }).waitFor(),
    async isTrue(page) {
      const { status } = await (await other.api("GET", "/buckets/alive")).json();
      const cells = await page.getByRole("row").filter({ hasText: "alive" }).getByRole("cell").allTextContents();
      return cells[0] === status.subjects.toLocaleString("en-US");
    },
  },
  keys: {
    hash: "#/b/alive",
    async ready(page) {
      for (const name of ["orders.", "stock."]) await page.getByRole("button", { name, exact: true }).click();
      await until("all keys are shown", async () => (await shownKeys(page)).length === 8);
    },
    isTrue: async (page) => (await shownKeys(page)).join() === (await storedKeys("alive")).join(),
  },
  search: {
    hash: "#/b/alive",
    async ready(page) {
      await page.getByRole("searchbox").fill("ORDERS");
      await until("all are found", async () => (await shownKeys(page)).length === 4);
    },
    isTrue: async (page) => (await shownKeys(page)).join() ===
      (await storedKeys("alive")).filter((key) => key.startsWith("orders.")).join(),
  },
  entry: {
    hash: "#/b/alive/k/orders.1", ready: (page) => page.getByText("of orders.1").waitFor(),
    async isTrue(page) {
      const answer = await other.api("GET", "/buckets/alive/keys/orders.1");
      const shown = await page.locator(".cm-content").textContent().catch(() => "");
      const facts = await textOf(page, ".facts");
      return shown === await answer.text() && facts.startsWith(`Revision${answer.headers.get("KV-Revision")}`);
    },
  },
  history: {
    hash: "#/b/alive/h/orders.1", ready: (page) => page.getByText("the oldest that is kept").waitFor(),
    async isTrue(page) {
      const { entries } = await (await other.api("GET", "/buckets/alive/history/orders.1")).json();
      const shown = await page.locator(".timeline button").allTextContents();
      return entries.length === shown.length && entries.every(({ revision }, i) =>
        shown.at(-1 - i).includes(`revision ${revision}`));
    },
  },
  watch: {
    hash: "#/b/alive/watch",
    async ready(page) {
      await page.getByLabel("Begin with what is there").check();
      await page.getByRole("button", { name: "Watch", exact: true }).click();
      await page.getByText("sync", { exact: true }).waitFor();
    },
    isTrue: async (page) => foldedEvents(await page.locator(".events li").evaluateAll((all) =>
      all.map((one) => [...one.children].map(({ textContent }) => textContent)))) === await storedRevisions(),
  },
  status: {
    hash: "#/status", ready: (page) => page.getByText("are served").waitFor(),
    async isTrue(page) {
      const text = await textOf(page, "main");
      return text.includes("are served") && text.includes("readsup") && !text.includes("down");
    },
  },
};

const change = (method, key, query = "") => other.api(method, `/buckets/alive/keys/${key}${query}`,
  method === "PUT" ? `later of ${key}` : undefined, method === "PUT" ? { "Content-Type": "text/plain" } : {});

test("pages of all live screens say that NATS or the gateway is lost, and show the truth later", async (t) => {
  await it.createBucket("alive", { history: 5 });
  for (const folder of ["orders", "stock"]) {
    for (let i = 1; i <= 4; i++) await it.put("alive", `${folder}.${i}`, `of ${folder}.${i}`, "text/plain");
  }
  const pages = {};
  for (const [name, { hash, ready }] of Object.entries(SCREENS)) {
    const page = pages[name] = await it.open(t);
    await go(page, hash);
    await ready(page);
    await page.evaluate(() => { globalThis.wasNotLoadedAnew = true; });
  }
  const all = (what) => Promise.all(Object.entries(pages).map(([name, page]) => what(page, name)));
  const said = (text, state) => all((page) => page.locator(".lost", { hasText: text }).waitFor({ state }));
  const isTrue = () => all((page, name) => until(`${name} shows the truth`, () => SCREENS[name].isTrue(page))
    .catch(async (error) => { throw new Error(`${error.message}: ${await textOf(page, "main")}`); }));

  await nats.kill();
  await said("NATS does not answer", "visible");
  await nats.run();
  await until("NATS is back", () => other.api("GET", "/readyz").then(() => true, () => false));
  await change("PUT", "orders.5");
  await change("DELETE", "orders.2");
  await change("PUT", "orders.1");
  await said("does not answer", "detached");
  await isTrue();

  await it.gateway.kill();
  await change("DELETE", "orders.3");
  await change("DELETE", "stock.1", "?purge=true");
  await change("PUT", "stock.new");
  await change("PUT", "orders.1");
  await said("The gateway does not answer", "visible");
  await change("PUT", "orders.3");
  await change("PUT", "orders.1");
  await it.gateway.run();
  await said("does not answer", "detached");
  await isTrue();
  await change("DELETE", "stock.new"); // The streams go on.
  await isTrue();
  await all(async (page) => assert.ok(await page.evaluate(() => globalThis.wasNotLoadedAnew)));
});
