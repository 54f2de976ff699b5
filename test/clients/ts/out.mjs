// Marks what tsc makes of the generated clients as CommonJS: their imports name no file endings,
// which Node.js requires of modules.
import { mkdir, writeFile } from "node:fs/promises";

await mkdir("out/generated", { recursive: true });
await writeFile("out/generated/package.json", '{"type":"commonjs"}');
