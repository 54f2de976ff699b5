// The client of openapi-fetch. A value must be sent with a `bodySerializer` that leaves it as it is,
// since it would be sent as JSON, and read with `parseAs`, since it would be read as JSON.
import createClient from "openapi-fetch";
import type { paths } from "./gen/contract.d.ts";
import { baseUrl, blobOf, bytesOf, Refusal, run, type Problem } from "../scenario.js";

const client = createClient<paths>({ baseUrl });
const bodySerializer = (value: Blob | undefined) => value;

interface Answer<T> {
  data?: T;
  error?: Problem;
  response: Response;
}

/** Returns what an operation answered, or throws its problem. */
async function answered<T>(call: Promise<Answer<T>>): Promise<{ data: T; response: Response }> {
  const { data, error, response } = await call;
  if (error) throw new Refusal(response.status, error);
  return { data: data as T, response };
}

run("openapi-fetch", {
  async createBucket(bucket) {
    const created = client.PUT("/buckets/{bucket}", { params: { path: { bucket } }, body: { history: 5 } });
    return (await answered(created)).data.history;
  },
  async put(bucket, key, value, ifMatch) {
    const header = ifMatch ? { "If-Match": ifMatch } : {};
    const written = client.PUT("/buckets/{bucket}/keys/{key}", {
      params: { path: { bucket, key }, header },
      headers: { "Content-Type": value.type },
      body: blobOf(value),
      bodySerializer,
    });
    return (await answered(written)).response.headers.get("ETag") ?? "";
  },
  async get(bucket, key) {
    const read = client.GET("/buckets/{bucket}/keys/{key}", { params: { path: { bucket, key } }, parseAs: "blob" });
    return bytesOf((await answered(read)).data);
  },
  async keys(bucket) {
    const { data } = await answered(client.GET("/buckets/{bucket}/keys", { params: { path: { bucket } } }));
    return typeof data === "string" ? [] : data.keys; // It would be a string of lines for another Accept.
  },
  async buckets() {
    return (await answered(client.GET("/buckets"))).data.buckets ?? [];
  },
  async bucketNames() {
    return (await answered(client.GET("/buckets", { params: { query: { names: true } } }))).data.names ?? [];
  },
  async delete(bucket, key) {
    await answered(client.DELETE("/buckets/{bucket}/keys/{key}", { params: { path: { bucket, key } } }));
  },
  async deleteBucket(bucket) {
    await answered(client.DELETE("/buckets/{bucket}", { params: { path: { bucket } } }));
  },
});
