/**
 * Makes the pictures of README.md in docs/images, from the built gateway: the console, and a live
 * page that goes through a restart. `make pictures` runs it.
 */
import { createServer } from "node:http";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import UPNG from "upng-js";
import { CHROMIUM, CHROMIUM_ARGS, Gateway, ROOT, until } from "./harness.js";

const IMAGES = join(ROOT, "docs", "images");

/** Writes frames as one PNG, animated if there are several; fails if it has too many bytes. */
async function write(name, frames, most) {
  const decoded = frames.map(({ png }) => UPNG.decode(png));
  const [{ width, height }] = decoded;
  const pixels = decoded.map((image) => UPNG.toRGBA8(image)[0]);
  const shownFor = frames.map(({ milliseconds }) => milliseconds);
  const encoded = UPNG.encode(pixels, width, height, 96, shownFor);
  if (encoded.byteLength > most) throw new Error(`${name} has ${encoded.byteLength} bytes`);
  await writeFile(join(IMAGES, name), new Uint8Array(encoded));
  console.log(`docs/images/${name}: ${width} x ${height}, ${encoded.byteLength} bytes`);
}

/** Serves the page of docs/guide/watching.md that uses the client, and another that frames it. */
async function startSite(gateway) {
  const guide = await readFile(join(ROOT, "docs/guide/watching.md"), "utf8");
  const shown = [...guide.matchAll(/^```html\n(.*?)^```/gms)].map(([, page]) => page);
  const frame = `<!doctype html><meta charset="utf-8"><style>
    body { margin: 0; font: 16px/1.5 system-ui, sans-serif; display: flex; height: 270px }
    pre { flex: 1; margin: 0; padding: 14px 18px; background: #16202c; color: #e8edf3;
      font: 14px/1.7 ui-monospace, monospace; white-space: pre-wrap }
    iframe { width: 260px; border: 0; padding: 8px 14px }
  </style><pre></pre><iframe src="/page"></iframe>`;
  const pages = { "/": frame, "/page": shown.find((page) => page.includes("liveMap")) };
  const server = createServer(async ({ url }, response) => {
    const isClient = url === "/kvgateway.js";
    response.setHeader("Content-Type", `text/${isClient ? "javascript" : "html"}`);
    if (isClient) response.end(await readFile(join(ROOT, "clients/js/dist/kvgateway.js")));
    else response.end(pages[url]?.replace("http://127.0.0.1:8080", gateway.url));
  });
  await new Promise((resolve) => server.listen(gateway.sitePort, "127.0.0.1", resolve));
  return server;
}

/** A port that is free, for the page's origin, which the gateway has to allow. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Records the live page while keys are written, and the gateway is killed and started. */
async function record(browser, gateway) {
  const site = await startSite(gateway);
  const context = { viewport: { width: 760, height: 270 }, deviceScaleFactor: 1.5 };
  const page = await browser.newPage(context);
  await page.goto(`http://127.0.0.1:${gateway.sitePort}/`);
  const [, live] = page.frames();
  await live.addStyleTag({
    content: `body { font: 17px/1.6 system-ui, sans-serif }
      p { color: #fff; background: #17803d; border-radius: 1em; padding: 0 .8em;
        margin: 0; width: max-content }
      p.away { background: #b45309 } ul { padding-left: 1.2em }`,
  });
  const frames = [];
  const look = async (milliseconds) => {
    await live.locator("p").evaluate((p) => (p.className = p.textContent === "live" ? "" : "away"));
    frames.push({ png: await page.screenshot(), milliseconds });
  };
  const say = (line) => page.locator("pre").evaluate((pre, text) => pre.append(`${text}\n`), line);
  const shows = (status, ...lines) => until(`${status}: ${lines}`, async () => {
    const text = await live.locator("body").innerText();
    return text.startsWith(status) && lines.every((line) => text.includes(line));
  });
  const store = async (order, qty) => {
    await say(`$ curl -X PUT $KV/…/keys/orders.${order} \\\n    -d '{"qty":${qty}}'`);
    await gateway.put("shop", `orders.${order}`, { qty });
  };

  await shows("live", "orders.17", "orders.18");
  await look(1500);
  await store(19, 4);
  await shows("live", "orders.19: 4");
  await look(2000);
  await say("$ kill -9 $GATEWAY");
  await gateway.kill();
  await shows("reconnecting", "orders.19: 4");
  await look(2500);
  await say("$ gateway serve --data-dir data &");
  await gateway.run();
  await store(17, 9);
  await look(1500);
  await shows("live", "orders.17: 9");
  await look(2000);
  await store(20, 1);
  await shows("live", "orders.20: 1");
  await look(3500);
  await page.close();
  site.close();
  site.closeAllConnections();
  return frames;
}

/** Shows the keys of a bucket in the console, with a folder open. */
async function look(browser, gateway) {
  const context = { viewport: { width: 1120, height: 600 }, deviceScaleFactor: 1.5 };
  const page = await browser.newPage(context);
  await page.goto(`${gateway.url}/console/#/b/shop`);
  await page.getByRole("button", { name: "orders." }).first().click();
  await page.getByRole("checkbox", { name: "Select orders.18" }).check();
  const png = await page.screenshot();
  await page.close();
  return [{ png, milliseconds: 0 }];
}

/** A shop, as in the tour. */
async function fill(gateway) {
  await gateway.createBucket("shop", { history: 5, description: "What the shop sells" });
  await gateway.put("shop", "orders.17", { qty: 2 });
  await gateway.put("shop", "orders.18", { qty: 5 });
}

await mkdir(IMAGES, { recursive: true });
const sitePort = await freePort();
const gateway = await Gateway.start("--allow-origin", `http://127.0.0.1:${sitePort}`);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });
try {
  gateway.sitePort = sitePort;
  await fill(gateway);
  await write("live-page.png", await record(browser, gateway), 500_000);
  for (const key of ["prices.chair", "prices.table", "stock.chair", "stock.table", "greeting"]) {
    await gateway.put("shop", key, { key });
  }
  await write("console.png", await look(browser, gateway), 200_000);
} finally {
  await browser.close();
  await gateway.stop();
}
