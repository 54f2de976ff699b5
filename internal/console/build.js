/**
 * Builds dist/: the console and its editor. `--check` compares it with what is there instead.
 */
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** How many bytes the first load may have in all, compressed with gzip. */
const MOST = 250 * 1024;

const here = fileURLToPath(new URL(".", import.meta.url));

async function buildInto(dist) {
  await build({
    entryPoints: ["main.jsx", "editor.js", "console.css"].map((name) => join(here, "src", name)),
    entryNames: "[name]",
    outdir: dist,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    jsx: "automatic",
    jsxImportSource: "preact",
    // The gateway serves these beside the console.
    external: ["./kvgateway.js", "./editor.js"],
    banner: { js: "// Code generated from internal/console/src. DO NOT EDIT." },
    legalComments: "eof",
    logLevel: "warning",
  });
  cpSync(join(dist, "main.js"), join(dist, "console.js"));
  rmSync(join(dist, "main.js"));
  cpSync(join(here, "src", "icon.svg"), join(dist, "icon.svg"));
}

function check() {
  const fresh = mkdtempSync(join(tmpdir(), "kvgw-console-"));
  return buildInto(fresh).then(() => {
    for (const name of new Set([...readdirSync(fresh), ...readdirSync(join(here, "dist"))])) {
      const read = (directory) => {
        try {
          return readFileSync(join(directory, name), "utf8");
        } catch (error) {
          if (error.code !== "ENOENT") throw error;
          return undefined; // One of the two lacks it.
        }
      };
      if (read(fresh) !== read(join(here, "dist"))) {
        console.error(`dist/${name} is not what src gives: run make console-build`);
        process.exitCode = 1;
      }
    }
  }).finally(() => rmSync(fresh, { recursive: true }));
}

if (process.argv[2] === "--check") await check();
else await buildInto(join(here, "dist"));
const size = ["console.js", "console.css", "icon.svg"].map((name) => join(here, "dist", name))
  .concat(join(here, "../../clients/js/dist/kvgateway.js"))
  .reduce((sum, file) => sum + gzipSync(readFileSync(file), { level: 9 }).length, 0);
if (size > MOST) {
  console.error(`the first load has ${size} bytes compressed, more than ${MOST}`);
  process.exitCode = 1;
} else console.log(`the console's first load has ${size} bytes compressed, of at most ${MOST}`);
