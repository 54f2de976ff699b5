/** What every library is put through. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, until } from "../browser/harness.js";
import { EVENTS } from "./page/events.js";
import { startProxy } from "./proxies.js";
import { startSite } from "./site.js";

const BUCKET = "shop";

/** How long the libraries are waited for: some wait longer after each failure. */
const PATIENCE = 60;

/** What one library has been told over one way, folded as the documentation says. */
class Follower {
  constructor(library, way) {
    Object.assign(this, { library, way, name: `${library.name}-${way.name}` });
    this.told = []; // The names of the events.
    this.revisions = [];
    this.faults = [];
    this.state = new Map();
  }

  get url() {
    // The second filter selects nothing new. It shows the proxy whose request this is.
    return `${this.way.url}/buckets/${BUCKET}/watch?heartbeat=1s&filter=%3E&filter=by.${this.name}`;
  }

  /** Takes what the library called back with. Everything must have a name and JSON, as users expect. */
  take(event, _id, text) {
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      return this.faults.push(`${event}: not JSON: ${JSON.stringify(text)}`);
    }
    if (!EVENTS.includes(event)) this.faults.push(`the name ${JSON.stringify(event)}`);
    this.told.push(event);
    if (event === "reset") this.next = new Map();
    if (event === "sync" && this.next) [this.state, this.next] = [this.next, undefined];
    if (!data.operation) return;
    this.revisions.push(data.revision);
    const state = this.next ?? this.state;
    if (event === "put") state.set(data.key, data.value);
    else state.delete(data.key);
  }

  has = (key) => this.state.has(key);
  count = (event) => this.told.filter((name) => name === event).length;
}

/** Values that lines, JSON and parsers of streams can trip over. */
const ODD = {
  "odd.lines": "a\nb\r\nc\rd\n\ndata: x",
  "odd.unicode": "ä \u2028 \u2029 \u0085 \u{1f600} \ufeff",
  "odd.empty": "",
  "odd.null": null,
  "odd.long": "x".repeat(40_000),
};

/** Runs the libraries, over each of the ways at once, while the gateway is stopped and killed. */
export function follow(libraries, { plain = false } = {}) {
  let gateway, site, browser, ways;
  let ended = false;
  const followers = [];
  const closers = [];
  before(async () => {
    site = await startSite();
    gateway = await Gateway.start("--allow-origin", site.origin);
    ways = [{ name: "direct", url: gateway.url }];
    for (const name of plain ? ["nginx", "plain"] : ["nginx"]) {
      const proxy = await startProxy("nginx", { gateways: [gateway.address], plain: name === "plain" });
      closers.push(proxy.stop);
      ways.push({ name, url: proxy.url, proxy });
    }
    browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
    browser.page = site.origin;
    // Nothing is ever removed, so that a gateway that starts again can prove what came after an id.
    await gateway.createBucket(BUCKET, { history: 64 });
    for (let i = 0; i < 20; i++) await gateway.put(BUCKET, `a.${i}`, i);
    for (let i = 0; i < 20; i += 4) await gateway.remove(BUCKET, `a.${i}`);
    for (const [key, value] of Object.entries(ODD)) await gateway.put(BUCKET, key, value);
  });
  after(async () => {
    await Promise.all(closers.map((close) => close()));
    await browser?.close();
    await gateway?.stop();
    site?.stop();
  });

  const all = async (what, condition, some = followers) => {
    await until(what, () => some.every(condition), PATIENCE).catch(({ message }) => {
      const late = some.filter((follower) => !condition(follower));
      const lines = late.map(({ name, told, faults }) => `${name}: ${told.slice(-5)}; ${faults}`);
      throw new Error(`${message}\n${lines.join("\n")}`);
    });
  };
  const alive = () => followers.filter(({ library, way }) => way.name !== "plain" || library.survives502);

  /** Ends the gateway, waits until all that still live have noticed, and starts it again. */
  async function restart(signal, round) {
    const refusalsOf = async ({ way, name }) => (await way.proxy.requests(name)).filter(({ status }) => status === 502).length;
    const proxied = (round > 1 ? alive() : followers).filter(({ way }) => way.proxy);
    const before = await Promise.all(proxied.map(async (f) => [f, await refusalsOf(f), f.count("problem")]));
    await gateway.process.stop(signal);
    for (const [follower, refusals, problems] of before) {
      // A browser that remembers the answer to a preflight sends the request itself.
      const refusable = follower.way.name === "plain" || follower.library.preflight;
      await until(`${follower.name} notices ${signal}`, async () =>
        follower.count("problem") > problems || refusable && (await refusalsOf(follower)) > refusals, PATIENCE);
    }
    await gateway.run();
  }

  test("all libraries follow, through restarts", async () => {
    for (const way of ways) {
      for (const library of libraries) {
        const follower = new Follower(library, way);
        followers.push(follower);
        closers.unshift(await library.follow(follower.url, (...args) => follower.take(...args), browser));
      }
    }
    await all("sync", (follower) => follower.count("sync") === 1);
    await gateway.put(BUCKET, "live", 1);
    await gateway.remove(BUCKET, "a.1");
    await all("changes", (follower) => follower.has("live") && !follower.has("a.1"));
    let round = 0;
    for (const signal of ["SIGTERM", "SIGKILL"]) {
      await restart(signal, ++round);
      await gateway.put(BUCKET, `after.${signal}`, round);
      await gateway.remove(BUCKET, `a.${round + 1}`);
      await all(`changes after ${signal}`, (follower) => follower.has(`after.${signal}`) && !follower.has(`a.${round + 1}`), alive());
    }
    ended = true;
  });

  for (const library of libraries) {
    test(`${library.name} ${library.version}`, async () => {
      assert.ok(ended, "the scenario came to its end");
      const { entries } = await gateway.send("GET", `/buckets/${BUCKET}/entries?limit=1000`);
      const bucket = Object.fromEntries(entries.map(({ key, value }) => [key, value]));
      for (const follower of followers.filter((f) => f.library === library)) {
        await check(follower, bucket);
      }
    });
  }
}

/** Checks what a follower was told, and how it asked to go on. */
async function check(follower, bucket) {
  const { library, way, name, faults, revisions, state } = follower;
  assert.deepEqual(faults, [], name);
  if (way.name === "plain" && !library.survives502) {
    return assert.ok(!state.has("after.SIGTERM"), `${name} came back after all`);
  }
  assert.equal(follower.count("reset"), 0, `${name} resumed`);
  assert.deepEqual(revisions, [...new Set(revisions)].sort((a, b) => a - b), `${name}: each once, in order`);
  assert.deepEqual(Object.fromEntries(state), bucket, name);
  if (!way.proxy) return;
  const resumed = (await way.proxy.requests(name)).filter(({ method }) => method === "GET").slice(1);
  const places = resumed.map(({ lastEventId, query }) => (lastEventId ? "header" : query.has("lastEventId") && "lastEventId"));
  const place = (way.name === "plain" && library.after502) || library.resumes;
  assert.ok(places.every(Boolean) && places.includes(place), `${name} gives its last id as ${places}`);
}
