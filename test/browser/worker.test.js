/**
 * Tests the JavaScript client in Chromium: in a page, and in a service worker, both of an allowed
 * origin beside the gateway.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, ROOT } from "./harness.js";

const skip = CHROMIUM ? false : "there is no Chromium";
let site, gateway, browser, origin;

/** The service worker: it answers a message with what the client has read, watched and kept. */
const WORKER = `
  import { createClient } from "/kvgateway.js";
  addEventListener("install", () => skipWaiting());
  addEventListener("activate", (event) => event.waitUntil(clients.claim()));
  addEventListener("message", (event) => event.waitUntil(answer(event)));
  async function answer({ data: url, ports: [port] }) {
    const bucket = createClient({ url }).bucket("workers");
    await bucket.put("a", { by: "a worker" });
    const { value } = await bucket.get("a");
    const events = [];
    for await (const { event, key } of bucket.watch()) {
      events.push([event, key]);
      if (event === "sync") break;
    }
    const live = bucket.liveMap();
    await live.ready;
    await live.put("b", 2);
    port.postMessage({ value, events, keys: [...live.map.keys()] });
    live.close();
  }
`;

before(async () => {
  if (skip) return;
  const files = {
    "/kvgateway.js": readFileSync(join(ROOT, "clients/js/dist/kvgateway.js")),
    "/worker.js": WORKER,
  };
  site = createServer((request, response) => {
    const file = files[request.url];
    response.writeHead(200, { "Content-Type": file ? "text/javascript" : "text/html" });
    response.end(file ?? "<!doctype html><title>page</title>");
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  origin = `http://127.0.0.1:${site.address().port}`;
  gateway = await Gateway.start("--allow-origin", origin);
  await gateway.createBucket("workers");
  browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  site?.closeAllConnections();
  site?.close();
});

async function open(t) {
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${origin}/`);
  return page;
}

test("a service worker reads, writes, watches and keeps a live map", { skip }, async (t) => {
  const page = await open(t);
  const told = await page.evaluate(async (url) => {
    await navigator.serviceWorker.register("/worker.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    active.postMessage(url, [port2]);
    return new Promise((resolve) => (port1.onmessage = ({ data }) => resolve(data)));
  }, gateway.url);
  assert.deepEqual(told.value, { by: "a worker" });
  assert.deepEqual(told.events, [["put", "a"], ["sync", undefined]].map(([e, k]) => [e, k]));
  assert.deepEqual(told.keys.sort(), ["a", "b"]);
});

test("a page sees conditions, problems and its own changes across origins", { skip }, async (t) => {
  const page = await open(t);
  const told = await page.evaluate(async (url) => {
    const { Conflict, createClient } = await import("/kvgateway.js");
    const bucket = createClient({ url }).bucket("workers");
    const first = await bucket.put("page", 1);
    await bucket.put("page", 2, { ifMatch: first });
    const { code, currentRevision } = await bucket.put("page", 3, { ifMatch: first }).catch((e) => e);
    const live = bucket.liveMap({ filter: "page" });
    await live.ready;
    const saving = live.put("page", 4);
    const shown = live.map.get("page");
    await saving;
    while (live.map.get("page").pending) await new Promise((done) => setTimeout(done, 10));
    const lost = live.put("page", 5);
    const theirs = bucket.put("page", "theirs"); // It may come first or second.
    const conflict = await lost.catch((e) => e);
    await theirs;
    while (live.map.get("page").pending) await new Promise((done) => setTimeout(done, 10));
    live.close();
    return {
      code, isNewer: currentRevision > first.revision, shown: [shown.value, shown.pending],
      confirmed: live.map.get("page").value !== undefined,
      outcome: conflict instanceof Conflict ? conflict.theirs.value : "stored",
    };
  }, gateway.url);
  assert.equal(told.code, "revision-mismatch");
  assert.ok(told.isNewer && told.confirmed);
  assert.deepEqual(told.shown, [4, true]);
  assert.ok(["theirs", "stored"].includes(told.outcome), told.outcome);
});
