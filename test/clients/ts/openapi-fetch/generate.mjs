// Generates gen/contract.d.ts from the contract. It differs from the command line of
// openapi-typescript in the type of values: there bytes are a string, here they are a Blob.
import { mkdir, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";
import ts from "typescript";

const contract = new URL("../../../../api/openapi.yaml", import.meta.url);
const target = new URL("gen/contract.d.ts", import.meta.url);

const blob = ts.factory.createTypeReferenceNode("Blob");
const types = await openapiTS(contract, {
  transform: (schema) => (schema.format === "binary" ? blob : undefined),
});
await mkdir(new URL(".", target), { recursive: true });
await writeFile(target, astToString(types));
