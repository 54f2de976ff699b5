/** Tests credentials and tickets of a client, against the built gateway with an auth file. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createClient } from "../dist/kvgateway.js";
import { Gateway, ROOT, until } from "../../../test/browser/harness.js";

const ROLES = `roles:
  clerk: [{ bucket: shop, can: [admin] }]
  reader: [{ bucket: shop, keys: ["open.>"], can: [read] }]
anonymous: [reader]
`;
let dir, file, gateway, token;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "kvgateway-auth-"));
  file = join(dir, "auth.yaml");
  const args = ["token", "new", "--name", "ann", "--role", "clerk"];
  const printed = execFileSync(join(ROOT, "bin", "gateway"), args, { encoding: "utf8" });
  const lines = printed.split("\n");
  token = lines[0];
  writeFileSync(file, `${ROLES}tokens:\n${lines.find((line) => line.startsWith("  - "))}\n`);
  gateway = await Gateway.start("--auth-file", file);
});
after(async () => {
  await gateway?.stop();
  rmSync(dir, { recursive: true });
});

test("a client with a token reads, writes and follows, with and without tickets", async (t) => {
  const seen = [];
  const spy = (url, init) => {
    const { authorization } = Object.fromEntries(new Headers(init.headers));
    seen.push({ url: new URL(url), authorization });
    return fetch(url, init);
  };
  for (const ticket of [undefined, true]) {
    const options = { token: () => token, ticket, fetch: spy, stream: { retry: 50 } };
    const client = createClient({ url: gateway.url, ...options });
    await client.request("PUT", "buckets/shop");
    const shop = client.bucket("shop");
    await shop.put("a", 1);
    seen.length = 0;
    const live = shop.liveMap({ filter: "a" });
    t.after(() => live.close());
    await live.ready;
    await live.put("a", 2);
    for await (const { value } of shop.watch({ filter: "a" })) if (value === 2) break;
    const streams = seen.filter(({ url }) => url.pathname.endsWith("/watch"));
    assert.equal(streams.length, 2);
    for (const { url, authorization } of streams) {
      assert.equal(authorization === undefined, ticket === true);
      assert.equal(url.searchParams.has("ticket"), ticket === true);
      assert.ok(!url.href.includes(token));
    }
  }
});

test("what a caller may not do is a problem that says so", async () => {
  const shop = createClient({ url: gateway.url }).bucket("shop");
  await assert.rejects(shop.put("open.a", 1), ({ status }) => status === 401 || status === 403);
  await assert.rejects(shop.get("a"), ({ status }) => status === 401 || status === 403);
  const wrong = createClient({ url: gateway.url, token: "kvgw_wrong" }).bucket("shop");
  await assert.rejects(wrong.get("a"), { code: "unauthenticated", status: 401 });
  const live = wrong.liveMap();
  await assert.rejects(live.ready, { code: "unauthenticated" });
  assert.equal(live.status, "failed");
});

test("a token that is revoked ends a live map, which keeps what it knew", async (t) => {
  const client = createClient({ url: gateway.url, token, ticket: true, stream: { retry: 50 } });
  const shop = client.bucket("shop");
  await shop.put("a", "kept");
  const live = shop.liveMap();
  t.after(() => live.close());
  await live.ready;
  writeFileSync(file, ROLES);
  await until("it is refused", () => live.status === "failed");
  assert.equal(live.map.get("a").value, "kept");
  await assert.rejects(shop.get("a"), { status: 401 });
});
