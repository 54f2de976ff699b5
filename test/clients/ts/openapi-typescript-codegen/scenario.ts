// The client of openapi-typescript-codegen, with a request function of our own (request.ts). Its
// operations answer the body alone, so the ETag is made of the revision and the epoch.
import { ApiError, BucketsService, KeysService, OpenAPI, ValuesService } from "./gen";
import type { BucketList, KeyList, Problem, WriteResult } from "./gen";
import { baseUrl, blobOf, bytesOf, Refusal, run } from "../scenario";

OpenAPI.BASE = baseUrl;

/** Returns the body of a success, or throws the problem. The type of an answer has both. */
async function answered<T>(call: Promise<T | Problem>): Promise<T> {
  try {
    return (await call) as T;
  } catch (error) {
    throw error instanceof ApiError ? new Refusal(error.status, error.body as Problem) : error;
  }
}

run("openapi-typescript-codegen", {
  async createBucket(bucket) {
    const created = await answered(BucketsService.putBucket(bucket, undefined, { history: 5 }));
    return "history" in created ? created.history : 0;
  },
  async put(bucket, key, value, ifMatch) {
    const put = ValuesService.putValue(bucket, key, undefined, ifMatch, undefined, undefined, undefined, undefined, blobOf(value));
    const { revision, epoch } = await answered<WriteResult>(put as Promise<WriteResult | Problem>);
    return `"${revision}-${epoch}"`;
  },
  async get(bucket, key) {
    return bytesOf(await answered<Blob>(ValuesService.getValue(bucket, key) as Promise<Blob | Problem>));
  },
  async keys(bucket) {
    return (await answered(KeysService.listKeys(bucket) as Promise<KeyList | Problem>)).keys;
  },
  async buckets() {
    const list = await answered<BucketList>(BucketsService.listBuckets());
    return list.buckets ?? [];
  },
  async bucketNames() {
    const list = await answered<BucketList>(BucketsService.listBuckets(true));
    return list.names ?? [];
  },
  async delete(bucket, key) {
    await answered(ValuesService.deleteValue(bucket, key));
  },
  async deleteBucket(bucket) {
    await answered(BucketsService.deleteBucket(bucket));
  },
});
