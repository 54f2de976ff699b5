/** What a screen does, as commands and programs. They never have the user's token in them. */
import { BASE, session } from "./api.js";

/** Quotes a text for sh. */
const sh = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const js = (text) => JSON.stringify(text);

const auth = () => (session().signedIn ? " -H \"Authorization: Bearer $TOKEN\"" : "");
const curl = (method, path, rest = "") =>
  `curl${auth()}${method === "GET" ? "" : ` -X ${method}`} ${sh(BASE + path)}${rest}`;
const made = () =>
  `const client = createClient({ url: ${js(BASE)}${session().signedIn ? ", token" : ""} });\n`;
const goBucket = (bucket) => `kv, err := js.KeyValue(ctx, ${js(bucket)})\n`;

export const listBuckets = () => ({
  curl: curl("GET", "/buckets"),
  JavaScript: `${made()}const { buckets } = await (await client.request("GET", "buckets")).json();`,
  Go: `for status := range js.KeyValueStores(ctx).Status() {\n\tfmt.Println(status.Bucket(), status.Values())\n}`,
  nats: "nats kv ls --verbose",
});

export const listKeys = (bucket, prefix) => ({
  curl: curl("GET", `/buckets/${bucket}/keys?delimiter=.&prefix=${prefix}`),
  JavaScript: `${made()}for await (const { keys } of client.bucket(${js(bucket)}).list({ prefix: ${js(prefix)} })) console.log(keys);`,
  Go: `${goBucket(bucket)}keys, err := kv.ListKeysFiltered(ctx, ${js(`${prefix}>`)})`,
  nats: `nats kv ls ${bucket}`,
});

export const readEntry = (bucket, key, tag) => ({
  curl: `${curl("GET", `/buckets/${bucket}/keys/~?key=${encodeURIComponent(key)}`)}\n` +
    curl("PUT", `/buckets/${bucket}/keys/~?key=${encodeURIComponent(key)}`,
      ` -H ${sh(`If-Match: ${tag}`)} --data-binary @file`),
  JavaScript: `${made()}const bucket = client.bucket(${js(bucket)});\nconst entry = await bucket.get(${js(key)});\nawait bucket.put(${js(key)}, value, { ifMatch: entry });`,
  Go: `${goBucket(bucket)}entry, err := kv.Get(ctx, ${js(key)})\nrevision, err := kv.Update(ctx, ${js(key)}, value, entry.Revision())`,
  nats: `nats kv get ${bucket} ${sh(key)}\nnats kv update ${bucket} ${sh(key)} "$VALUE" ${/\d+/.exec(tag)?.[0] ?? ""}`,
});

export const readHistory = (bucket, key) => ({
  curl: curl("GET", `/buckets/${bucket}/history/~?key=${encodeURIComponent(key)}`),
  JavaScript: `${made()}const history = await client.bucket(${js(bucket)}).history(${js(key)});`,
  Go: `${goBucket(bucket)}history, err := kv.History(ctx, ${js(key)})`,
  nats: `nats kv history ${bucket} ${sh(key)}`,
});

export const watchBucket = (bucket, filter) => ({
  curl: `curl${auth()} -N ${sh(`${BASE}/buckets/${bucket}/watch?filter=${filter}`)}`,
  JavaScript: `${made()}for await (const change of client.bucket(${js(bucket)}).watch({ filter: ${js(filter)} })) console.log(change);`,
  Go: `${goBucket(bucket)}watcher, err := kv.Watch(ctx, ${js(filter)})\nfor entry := range watcher.Updates() {\n\tfmt.Println(entry)\n}`,
  nats: `nats kv watch ${bucket} ${sh(filter)}`,
});

export const transfer = (bucket) => ({
  curl: `curl${auth()} -H 'Accept: application/x-ndjson' ${sh(`${BASE}/buckets/${bucket}/entries?values=base64`)} > ${bucket}.ndjson\n` +
    curl("POST", `/buckets/${bucket}/entries`,
      ` -H 'Content-Type: application/x-ndjson' --data-binary @${bucket}.ndjson`),
  JavaScript: `${made()}for await (const { entries } of client.bucket(${js(bucket)}).entries()) console.log(entries);`,
  Go: `${goBucket(bucket)}watcher, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())`,
  nats: `nats stream backup KV_${bucket} backup/`,
});

export const readAccess = () => ({
  curl: curl("GET", "/access"),
  JavaScript: `${made()}const access = await (await client.request("GET", "access")).json();`,
  Go: "info, err := js.AccountInfo(ctx)",
  nats: "nats account info",
});
