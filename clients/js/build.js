/**
 * Builds dist/: the bundle, and the types. `--check` compares it with what is there instead, and
 * `--modules` builds each module by itself into build/, for the tests of single modules.
 */
import { execFileSync } from "node:child_process";
import {
  mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

/** How many bytes the bundle may have, compressed with gzip. The aim is 8 KiB. */
const MOST = 9640;

const here = fileURLToPath(new URL(".", import.meta.url));
const options = { format: "esm", target: "es2022", charset: "utf8", logLevel: "warning" };

/** Bundles by esbuild. What terser makes of that has 2.5 % less, compressed. */
async function bundle(file) {
  const { outputFiles } = await build({
    ...options,
    entryPoints: [join(here, "src/index.ts")],
    bundle: true,
    minify: true,
    mangleProps: /^_/, // These members are of the package alone.
    write: false,
  });
  const { code } = await minify(outputFiles[0].text, {
    module: true,
    ecma: 2022,
    compress: { passes: 3, pure_getters: true, hoist_funs: true },
    format: { preamble: "// Code generated from clients/js/src. DO NOT EDIT." },
  });
  writeFileSync(file, `${code}\n`);
}

async function buildInto(dist) {
  mkdirSync(dist, { recursive: true });
  await bundle(join(dist, "kvgateway.js"));
  const types = join(dist, "types");
  rmSync(types, { recursive: true, force: true });
  execFileSync(join(here, "node_modules/.bin/tsc"), ["-p", here, "--outDir", types], {
    stdio: "inherit",
  });
}

/** The files of a directory, by their paths in it. */
function filesOf(directory) {
  const files = new Map();
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(directory.length + 1), readFileSync(path));
  }
  return files;
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}

async function check() {
  const fresh = mkdtempSync(join(tmpdir(), "kvgateway-dist-"));
  try {
    await buildInto(fresh);
    const [built, committed] = [filesOf(fresh), filesOf(join(here, "dist"))];
    for (const name of new Set([...built.keys(), ...committed.keys()])) {
      if (built.get(name)?.equals(committed.get(name) ?? Buffer.of(0)) !== true) {
        fail(`dist/${name} is not what the sources give: run make js-build`);
      }
    }
  } finally {
    rmSync(fresh, { recursive: true });
  }
}

const [mode] = process.argv.slice(2);
if (mode === "--modules") {
  const entryPoints = readdirSync(join(here, "src")).map((name) => join(here, "src", name));
  await build({ ...options, entryPoints, outdir: join(here, "build") });
} else {
  if (mode === "--check") await check();
  else await buildInto(join(here, "dist"));
  const size = gzipSync(readFileSync(join(here, "dist/kvgateway.js")), { level: 9 }).length;
  if (size > MOST) fail(`the bundle has ${size} bytes compressed, more than ${MOST}`);
  else console.log(`dist/kvgateway.js has ${size} bytes compressed, of at most ${MOST}`);
}
