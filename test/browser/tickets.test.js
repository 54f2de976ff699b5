/**
 * Tests tickets and their cookie in Chromium, against a gateway with TLS and an auth file. A page of
 * an allowed origin of the same site may use both, and one of another site neither.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, ROOT, until } from "./harness.js";

const skip = CHROMIUM ? false : "there is no Chromium";
let dir, site, gateway, browser, token, base;

const roles = `roles:
  clerk: [{ bucket: shop, can: [admin] }]
  nobody: [{ bucket: other, can: [get] }]
`;

const authFile = () => join(dir, "auth.yaml");

before(async () => {
  if (skip) return;
  dir = await mkdtemp(join(tmpdir(), "kvgw-tickets-"));
  const [cert, key] = [join(dir, "tls.crt"), join(dir, "tls.key")];
  execFileSync("openssl", [
    "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
    "-keyout", key, "-out", cert,
  ], { stdio: "ignore" });
  const printed = execFileSync(join(ROOT, "bin", "gateway"), ["token", "new", "--name", "ann", "--role", "clerk"]);
  const lines = printed.toString().split("\n");
  token = lines[0];
  writeFileSync(authFile(), `${roles}tokens:\n${lines.find((line) => line.startsWith("  - "))}\n`);

  // It serves an empty page and the module, as a site beside the gateway does.
  site = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    const file = join(ROOT, "clients/js/dist", request.url.slice(1));
    if (/^\/[a-z-]+\.js$/.test(request.url) && existsSync(file)) {
      response.writeHead(200, { "Content-Type": "text/javascript" });
      response.end(readFileSync(file));
    } else {
      response.writeHead(200, { "Content-Type": "text/html" });
      response.end("<!doctype html><title>page</title>");
    }
  });
  site.listen(0, "127.0.0.1");
  await once(site, "listening");
  gateway = await Gateway.start(
    "--auth-file", authFile(), "--tls-cert", cert, "--tls-key", key,
    "--allow-origin", `https://localhost:${site.address().port}`,
  );
  base = `https://localhost:${new URL(gateway.url).port}`;
  browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
  site?.closeAllConnections();
  site?.close();
  if (dir) await rm(dir, { recursive: true, force: true });
});

/** Opens the page of the site under a name of this machine. Functions in it know `base` and `token`. */
async function open(t, host) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  t.after(() => context.close());
  const page = await context.newPage();
  const requests = [];
  page.on("request", (request) => requests.push(request));
  await page.goto(`https://${host}:${site.address().port}/`);
  return { page, context, requests };
}

test("a page of an allowed origin follows a bucket with tickets, until its token is revoked", { skip }, async (t) => {
  const { page, requests } = await open(t, "localhost");
  const seen = await page.evaluate(async ([base, token]) => {
    const { liveMap } = await import("/kvgateway.js");
    const headers = { Authorization: `Bearer ${token}` };
    const put = (path, body) => fetch(base + path, { method: "PUT", headers, body });
    await put("/buckets/shop");
    await put("/buckets/shop/keys/a", "one");
    globalThis.statuses = [];
    globalThis.live = liveMap(`${base}/buckets/shop/watch`, {
      ticket: { headers },
      retry: 100,
      onStatus: (status) => globalThis.statuses.push(status),
    });
    await globalThis.live.ready;
    await put("/buckets/shop/keys/b", "two");
    while (!globalThis.live.map.has("b")) await new Promise((resolve) => setTimeout(resolve, 10));
    return [...globalThis.live.map].map(([key, { value }]) => [key, value]);
  }, [base, token]);
  assert.deepEqual(seen, [["a", "one"], ["b", "two"]]);
  const streams = requests.filter((request) => request.url().includes("/watch"));
  assert.ok(streams.length > 0);
  for (const request of streams) {
    assert.equal(request.headers().authorization, undefined);
    assert.match(request.url(), /ticket=kvgt_/);
  }
  assert.ok(requests.every((request) => !request.url().includes(token)));

  const file = readFileSync(authFile());
  t.after(() => writeFileSync(authFile(), file));
  writeFileSync(authFile(), `${roles}anonymous: [nobody]\n`);
  await until("it ended", () => page.evaluate(() => globalThis.statuses.at(-1) === "failed"));
});

test("a cookie opens streams for a page of the same site, and scripts cannot read it", { skip }, async (t) => {
  const { page, context } = await open(t, "localhost");
  const seen = async () => page.evaluate(async ([base, token]) => {
    const answer = await fetch(`${base}/tickets?cookie=true`, {
      method: "POST",
      credentials: "include",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ watch: ["shop"] }),
    });
    if (!answer.ok) return answer.status;
    const source = new EventSource(`${base}/buckets/shop/watch`, { withCredentials: true });
    const event = await new Promise((resolve) => {
      source.addEventListener("put", () => resolve("put"));
      source.onerror = () => resolve("error");
    });
    source.close();
    return [event, document.cookie, (await answer.json()).ticket ?? null];
  }, [base, token]);
  // The test before has changed the auth file, which is read again a moment later.
  let got;
  await until("the token is known", async () => Array.isArray((got = await seen())));
  assert.deepEqual(got, ["put", "", null]);
  const [cookie] = await context.cookies(base);
  assert.equal(cookie.name, "__Host-kvgw-ticket");
  assert.ok(cookie.httpOnly && cookie.secure && cookie.sameSite === "Strict");

  const read = await page.evaluate(async (base) => {
    const answer = await fetch(`${base}/buckets/shop/keys/a`, { credentials: "include" }).catch(() => null);
    return answer && answer.status;
  }, base);
  assert.equal(read, null, "the cookie is good for streams alone, and nothing else takes credentials");
});

test("a page of another site gets neither a ticket nor a stream", { skip }, async (t) => {
  const { page } = await open(t, "127.0.0.1");
  const got = await page.evaluate(async ([base, token]) => {
    const ticket = await fetch(`${base}/tickets`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ watch: ["shop"] }),
    }).then((answer) => answer.status, () => "refused");
    // A form needs no permission of the gateway, and must not change anything.
    await fetch(`${base}/tickets?cookie=true`, {
      method: "POST", mode: "no-cors", credentials: "include", body: '{"watch":["shop"]}',
    });
    const source = new EventSource(`${base}/buckets/shop/watch`, { withCredentials: true });
    const stream = await new Promise((resolve) => {
      source.onopen = () => resolve("opened");
      source.onerror = () => resolve("refused");
    });
    source.close();
    return [ticket, stream];
  }, [base, token]);
  assert.deepEqual(got, ["refused", "refused"]);
});
