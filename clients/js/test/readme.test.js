/** Runs the snippets of README.md as one program, and compares what they print. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Gateway } from "../../../test/browser/harness.js";

let gateway;
before(async () => {
  gateway = await Gateway.start();
});
after(() => gateway?.stop());

test("the snippets of README.md print what they say", async () => {
  for (const bucket of ["shop", "counters"]) await gateway.createBucket(bucket, { history: 5 });
  const text = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map(([, block]) => block);
  assert.ok(blocks.length >= 7);
  const program = blocks.join("\n").replaceAll("https://kv.example.com", gateway.url);
  const file = fileURLToPath(new URL("../build/readme.js", import.meta.url));
  mkdirSync(new URL("../build/", import.meta.url), { recursive: true });
  writeFileSync(file, program);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 20_000 });
  const wanted = [...program.matchAll(/^ *\/\/> (.*)$/gm)].map(([, line]) => line);
  assert.deepEqual(stdout.trimEnd().split("\n"), wanted);
});
