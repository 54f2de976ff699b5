// The client of @hey-api/openapi-ts. A value must be read with `parseAs`, since the client would
// otherwise choose by the media type that the value was stored with.
import { createClient } from "./gen/client";
import * as sdk from "./gen/sdk.gen";
import { baseUrl, blobOf, bytesOf, Refusal, run, type Problem } from "../scenario";

const client = createClient({ baseUrl });

interface Answer<T> {
  data?: T;
  error?: Problem;
  response?: Response;
}

/** Returns what an operation answered, or throws its problem. */
async function answered<T>(call: Promise<Answer<T>>): Promise<{ data: T; response: Response }> {
  const { data, error, response } = await call;
  if (!response) throw error;
  if (!response.ok) throw new Refusal(response.status, error as Problem);
  return { data: data as T, response };
}

run("hey-api", {
  async createBucket(bucket) {
    const { data } = await answered(sdk.putBucket({ client, path: { bucket }, body: { history: 5 } }));
    return data.history;
  },
  async put(bucket, key, value, ifMatch) {
    const headers = { "Content-Type": value.type, ...(ifMatch && { "If-Match": ifMatch }) };
    const { response } = await answered(sdk.putValue({ client, path: { bucket, key }, headers, body: blobOf(value) }));
    return response.headers.get("ETag") ?? "";
  },
  async get(bucket, key) {
    const { data } = await answered(sdk.getValue({ client, path: { bucket, key }, parseAs: "blob" }));
    return bytesOf(data);
  },
  async keys(bucket) {
    const { data } = await answered(sdk.listKeys({ client, path: { bucket } }));
    return typeof data === "string" ? [] : data.keys;
  },
  async buckets() {
    return (await answered(sdk.listBuckets({ client }))).data.buckets ?? [];
  },
  async bucketNames() {
    return (await answered(sdk.listBuckets({ client, query: { names: true } }))).data.names ?? [];
  },
  async delete(bucket, key) {
    await answered(sdk.deleteValue({ client, path: { bucket, key } }));
  },
  async deleteBucket(bucket) {
    await answered(sdk.deleteBucket({ client, path: { bucket } }));
  },
});
