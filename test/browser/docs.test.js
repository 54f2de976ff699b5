/**
 * Opens every page of the documentation in Chromium, in each size and theme, and runs what it
 * offers to run: the pages for browsers that it shows, and the forms of the reference.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import axe from "axe-core";
import { chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, ROOT, until } from "./harness.js";

const OUTPUT = join(ROOT, "test", "output", "docs");
const HEIGHTS = { 360: 740, 1280: 800, 3840: 2160 };
const THEMES = ["light", "dark"];
/** The gate looks at two of the six; `make full` sets DOCS=all, and keeps pictures of all. */
const LOOKS = process.env.DOCS === "all"
  ? Object.keys(HEIGHTS).flatMap((width) => THEMES.map((theme) => [Number(width), theme]))
  : [[360, "light"], [1280, "dark"]];

let gateway, site, browser, names;
before(async () => {
  assert.ok(CHROMIUM, "no Chromium is installed");
  await mkdir(OUTPUT, { recursive: true });
  site = await startSite();
  gateway = await Gateway.start("--allow-origin", site.origin);
  browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
  const overview = await (await fetch(`${gateway.url}/llms.txt`)).text();
  names = new Set([...overview.matchAll(/\/docs\/([a-z-]+)(?:\.md)?\)/g)].map(([, name]) => name));
  names.delete("index");
  names = ["", ...names];
});
after(async () => {
  await browser?.close();
  await gateway?.stop();
  site?.server.close();
});

/** A server with one page, and the client beside it, as the documentation says. */
async function startSite() {
  const served = { page: "" };
  const server = createServer(async ({ url }, response) => {
    const isClient = url === "/kvgateway.js";
    response.setHeader("Content-Type", `text/${isClient ? "javascript" : "html"}; charset=utf-8`);
    if (isClient) response.end(await (await fetch(`${gateway.url}/docs/kvgateway.js`)).text());
    else if (url === "/") response.end(served.page);
    else response.writeHead(url === "/favicon.ico" ? 204 : 404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { server, origin, serve: (page) => (served.page = page) };
}

/** Opens a context whose pages may not complain, break their policy, or ask another origin. */
async function contextOf(t, options, origins) {
  const context = await browser.newContext(options);
  const complaints = [];
  context.on("page", (page) => {
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error}`));
    page.on("console", (line) => {
      // A trial that is refused, as REFUSED says, is logged by the browser.
      if (line.location().url.includes("/.well-known/")) return;
      if (["error", "warning"].includes(line.type())) complaints.push(`${page.url()}: ${line.text()}`);
    });
    page.on("request", (request) => {
      const { origin } = new URL(request.url());
      if (!origins.includes(origin)) complaints.push(`${page.url()} asked for ${request.url()}`);
    });
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  return context;
}

/** What axe finds that keeps people from using a page, as "rule: element". */
async function barriers(page) {
  await page.evaluate(axe.source); // A script of the page's own would break its policy.
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
}

for (const [width, colorScheme] of LOOKS) {
  test(`every page at ${width} px, ${colorScheme}: nothing complains or overflows`, async (t) => {
    const viewport = { width, height: HEIGHTS[width] };
    const context = await contextOf(t, { viewport, colorScheme }, [gateway.url]);
    const page = await context.newPage();
    assert.ok(names.length >= 18, `${names.length} pages`);
    for (const name of names) {
      const answer = await page.goto(`${gateway.url}/docs/${name}`);
      assert.equal(answer.status(), 200, name);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${name || "the first page"} is ${wide} px too wide`);
      assert.equal(await page.locator("h1").count(), 1, name);
      assert.deepEqual(await barriers(page), [], name);
      await page.screenshot({ path: join(OUTPUT, `${name || "index"}-${width}-${colorScheme}.png`) });
    }
  });
}

/** The pages for browsers that a page of the guide, or the README, shows. */
async function shownPages(file) {
  const text = await readFile(join(ROOT, file), "utf8");
  return [...text.matchAll(/\n```html\n(.*?)\n```/gs)].map(([, page]) => page);
}

test("the pages that guide and README show follow a bucket through a restart", async (t) => {
  const pages = [
    ...await shownPages("docs/guide/watching.md"), ...await shownPages("README.md"),
  ];
  assert.equal(pages.length, 3);
  const context = await browser.newContext();
  t.after(() => context.close());
  await gateway.createBucket("shop");
  for (const [number, source] of pages.entries()) {
    for (const key of ["17", "18"]) await gateway.put("shop", `orders.${key}`, { qty: 2 });
    site.serve(source.replaceAll("http://127.0.0.1:8080", gateway.url));
    const page = await context.newPage();
    await page.goto(site.origin);
    const shows = (...wanted) => until(`page ${number} shows ${wanted}`, async () => {
      const shown = (await page.locator("ul").innerText()).split("\n");
      return shown.toSorted().join() === wanted.join();
    }, 30);
    await shows("orders.17: 2", "orders.18: 2");
    await gateway.put("shop", "orders.17", { qty: 3 });
    await gateway.remove("shop", "orders.18");
    await shows("orders.17: 3");
    await gateway.kill();
    await gateway.run();
    await gateway.put("shop", "orders.19", { qty: 4 });
    await shows("orders.17: 3", "orders.19: 4");
    await gateway.remove("shop", "orders.19");
    await page.close();
  }
});

/** Operations whose example is answered with an error in this gateway, and why. */
const REFUSED = {
  getResourceMetadata: 404, // It has no issuer of tokens.
};

test("every operation of the reference can be tried, and its example works", async (t) => {
  const context = await contextOf(t, { viewport: { width: 1280, height: 800 } }, [gateway.url]);
  const page = await context.newPage();
  await page.goto(`${gateway.url}/docs/api/`);
  const operations = await page.locator(".operation:has(form.try)").evaluateAll((all) =>
    all.map(({ id }) => id));
  assert.ok(operations.length >= 40, `${operations.length} operations`);
  const refused = [];
  for (const id of operations) {
    await fetch(`${gateway.url}/buckets/shop`, { method: "DELETE" }); // It has other settings by now.
    await page.locator("#prepare").click();
    await page.locator("#prepared", { hasText: "It is there" }).waitFor();
    await page.locator("#prepared").evaluate((output) => (output.textContent = ""));
    const operation = page.locator(`[id="${id}"]`);
    await operation.getByRole("button", { name: "Send" }).click();
    const status = operation.locator(".answer .status", { hasText: /^\d/ });
    await status.waitFor({ timeout: 20_000 });
    const code = Number.parseInt(await status.textContent(), 10);
    const works = REFUSED[id] ? code === REFUSED[id] : code >= 200 && code < 300;
    const said = await operation.locator(".answer").textContent();
    if (!works) refused.push(`${id}: ${said.slice(0, 1000)}`);
    const stop = operation.getByRole("button", { name: "Stop" });
    if (id.startsWith("watchBucket")) {
      await operation.locator(".answer pre", { hasText: "event: sync" }).waitFor();
      await page.screenshot({ path: join(OUTPUT, `reference-${id}.png`) });
      await stop.click();
    }
    await stop.waitFor({ state: "hidden" });
  }
  assert.deepEqual(refused, []);
});

test("the reference is there without a credential, and tries operations with one", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "kvgw-docs-"));
  const program = join(ROOT, "bin", "gateway");
  const made = execFileSync(program, ["token", "new", "--name", "ann", "--role", "clerk"]);
  const [token, ...rest] = made.toString().split("\n");
  await writeFile(join(dir, "auth.yaml"), `roles:
  clerk: [{ bucket: shop, can: [admin] }]
tokens:
${rest.find((line) => line.startsWith("  - "))}
`);
  const guarded = await Gateway.start("--auth-file", join(dir, "auth.yaml"));
  t.after(async () => {
    await guarded.stop();
    await rm(dir, { recursive: true });
  });
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${guarded.url}/docs/api/`);
  const operation = page.locator('[id="getAccess"]');
  const answers = async (status, text) => {
    await operation.getByRole("button", { name: "Send" }).click();
    await operation.locator(".answer .status", { hasText: status }).waitFor();
    await operation.locator(".answer pre", { hasText: text }).last().waitFor();
  };
  await answers("401", "/problems/unauthenticated");
  await page.locator("#credential").fill(`Bearer ${token}`);
  await answers("200", '"name": "ann"');
  assert.ok(!(await page.content()).includes(token), "no command and no field shows the credential");
});
