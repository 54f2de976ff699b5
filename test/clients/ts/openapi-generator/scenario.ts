// The client that openapi-generator makes for TypeScript (typescript-fetch).
import { BucketsApi, Configuration, KeysApi, ResponseError, ValuesApi, type InitOverrideFunction } from "./gen";
import { ProblemFromJSON } from "./gen/models";
import { baseUrl, blobOf, bytesOf, Refusal, run, type Value } from "../scenario";

const configuration = new Configuration({ basePath: baseUrl });
const buckets = new BucketsApi(configuration);
const keys = new KeysApi(configuration);
const values = new ValuesApi(configuration);

/** Returns what an operation answered, or throws its problem, which the client leaves unread. */
async function answered<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    const { type, status, currentRevision } = ProblemFromJSON(await error.response.json());
    throw new Refusal(error.response.status, { type, status, current_revision: currentRevision });
  }
}

/** Sends a value with its own media type; the client has application/octet-stream alone. */
const typed = ({ type }: Value): InitOverrideFunction => async ({ init }) => ({
  headers: { ...(init.headers as Record<string, string>), "Content-Type": type },
});

run("openapi-generator", {
  async createBucket(bucket) {
    return (await answered(buckets.putBucket({ bucket, bucketConfig: { history: 5 } }))).history;
  },
  async put(bucket, key, value, ifMatch) {
    const condition = ifMatch ? { ifMatch } : {};
    const request = { bucket, key, body: blobOf(value), ...condition };
    const written = await answered(values.putValueRaw(request, typed(value)));
    return written.raw.headers.get("ETag") ?? "";
  },
  async get(bucket, key) {
    return bytesOf(await answered(values.getValue({ bucket, key })));
  },
  async keys(bucket) {
    return (await answered(keys.listKeys({ bucket }))).keys;
  },
  async buckets() {
    return (await answered(buckets.listBuckets())).buckets ?? [];
  },
  async bucketNames() {
    return (await answered(buckets.listBuckets({ names: true }))).names ?? [];
  },
  async delete(bucket, key) {
    await answered(values.deleteValue({ bucket, key }));
  },
  async deleteBucket(bucket) {
    await answered(buckets.deleteBucket({ bucket }));
  },
});
