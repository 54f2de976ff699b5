/** Packs the package as npm would publish it, and installs it in another one. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const root = fileURLToPath(new URL("..", import.meta.url));

test("the bundle has no more bytes, compressed, than the README says", () => {
  const [, kilobytes] = /less than ([\d.]+) KB compressed/.exec(
    readFileSync(join(root, "README.md"), "utf8"),
  );
  const bundle = readFileSync(join(root, "dist/kvgateway.js"));
  const { length } = gzipSync(bundle, { level: 9 });
  assert.ok(length < kilobytes * 1000, `${length} bytes`);
});

test("the package that npm packs is installed, imported, and has its types", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "kvgateway-pack-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const run = (program, ...args) => execFileSync(program, args, { cwd: dir, encoding: "utf8" });
  const [{ filename, files }] = JSON.parse(run("npm", "pack", "--json", "--silent", root));
  const others = files.map(({ path }) => path).filter((path) => !path.startsWith("dist/types/"));
  assert.deepEqual(others.sort(), ["LICENSE", "README.md", "dist/kvgateway.js", "package.json"]);
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  run("npm", "install", "--silent", "--offline", "--no-audit", "--no-fund", `./${filename}`);
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json")));
  assert.equal(dependencies, undefined);

  writeFileSync(join(dir, "index.js"), `
    import { createClient } from "@kvgateway/client";
    console.log(createClient({ url: "http://127.0.0.1:8080/kv" }).bucket("b").name);
  `);
  assert.equal(run(process.execPath, "index.js"), "b\n");

  writeFileSync(join(dir, "index.ts"), `
    import { createClient, type Entry } from "@kvgateway/client";
    const bucket = createClient({ url: "http://127.0.0.1" }).bucket<{ qty: number }>("b");
    const entry: Entry<{ qty: number }> | undefined = await bucket.get("k");
    const qty: number | undefined = entry?.value.qty;
    // @ts-expect-error it is a number
    const text: string | undefined = entry?.value.qty;
  `);
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  run(process.execPath, tsc, "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext",
    "--lib", "es2022,dom", "index.ts");
});
