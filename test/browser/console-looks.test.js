/** Pictures every screen of the console; nothing may overflow or keep people out. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Console, FULL, OUTPUT, barriers, go } from "./console-harness.js";

const HEIGHTS = { 360: 740, 1280: 800, 3840: 2160 };

/** The gate looks at two of the six. */
const LOOKS = FULL
  ? Object.keys(HEIGHTS).flatMap((width) => ["light", "dark"].map((theme) => [Number(width), theme]))
  : [[360, "light"], [1280, "dark"]];

let it;
before(async () => { it = await Console.start(); });
after(() => it?.stop());

for (const [width, colorScheme] of LOOKS) {
  test(`every screen at ${width} px, ${colorScheme}: nothing overflows or keeps people out`, async (t) => {
    await it.createBucket("looks", { history: 5, description: "What the shop sells" });
    for (const key of ["orders.17", "orders.18", "stock.chairs", "greeting"]) {
      await it.put("looks", key, JSON.stringify({ key, qty: 3, tags: ["a", "b"] }, null, 2));
    }
    await it.put("looks", "orders.17", '{\n  "qty": 4,\n  "id": 12345678901234567890\n}');
    const page = await it.open(t, "ann", { viewport: { width, height: HEIGHTS[width] }, colorScheme });
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
      await it.put("looks", "orders.19", "{}");
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
