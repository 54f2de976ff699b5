// The client of orval, with a fetcher of our own (fetcher.ts).
import * as api from "./gen/client";
import { baseUrl, blobOf, bytesOf, run } from "../scenario";

/** What is thrown for an answer that is no success; the fetcher has thrown the problems. */
const unexpected = ({ status }: { status: number }) => new Error(`${baseUrl} answered ${status}`);

run("orval", {
  async createBucket(bucket) {
    const created = await api.putBucket(bucket, { history: 5 });
    if (created.status !== 201) throw unexpected(created);
    return created.data.history;
  },
  async put(bucket, key, value, ifMatch) {
    const headers = ifMatch ? { "If-Match": ifMatch } : {};
    const options = { headers: { "Content-Type": value.type } };
    const written = await api.putValue(bucket, key, blobOf(value), {}, headers, options);
    if (written.status !== 200) throw unexpected(written);
    return written.headers.get("ETag") ?? "";
  },
  async get(bucket, key) {
    const read = await api.getValue(bucket, key);
    if (read.status !== 200) throw unexpected(read);
    return bytesOf(read.data);
  },
  async keys(bucket) {
    const list = await api.listKeys(bucket);
    if (list.status !== 200 || !("data" in list) || typeof list.data === "string") throw unexpected(list);
    return list.data.keys;
  },
  async buckets() {
    const list = await api.listBuckets();
    if (list.status !== 200) throw unexpected(list);
    return list.data.buckets ?? [];
  },
  async bucketNames() {
    const list = await api.listBuckets({ names: true });
    if (list.status !== 200) throw unexpected(list);
    return list.data.names ?? [];
  },
  async delete(bucket, key) {
    const deleted = await api.deleteValue(bucket, key);
    if (deleted.status !== 200) throw unexpected(deleted);
  },
  async deleteBucket(bucket) {
    const deleted = await api.deleteBucket(bucket);
    if (deleted.status !== 204) throw unexpected(deleted);
  },
});
