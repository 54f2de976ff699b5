// A program in TypeScript that uses the client's types. It is compiled, and not run.
import { Conflict, Problem, createClient, type Schema, liveMap, StreamError, type Entry, type LiveMap, type Saved } from "@kvgateway/client";

interface Order {
  qty: number;
}

const orders: LiveMap<Order> = liveMap<Order>("/buckets/shop/watch?filter=orders.*", {
  onChange(changes, cause) {
    for (const { key, entry, previous } of changes) console.log(cause, key, previous?.value.qty, entry?.value.qty);
  },
  onStatus(status, { reason, problem, error }) {
    if (status === "failed" && error instanceof StreamError) console.log(error.status, problem?.title, reason);
  },
  headers: async () => ({ Authorization: "Bearer …" }),
});

await orders.ready;
const first: Entry<Order> | undefined = orders.map.get("orders.17");
const saved: Saved<Order> | null = orders.save();
console.log(first?.revision, orders.status, orders.lastEventId);
orders.close();

liveMap(new URL("http://127.0.0.1/watch?watch=a"), { saved: null, signal: AbortSignal.timeout(1000) });
liveMap<Order>(async () => "/buckets/shop/watch?ticket=…", { saved });

// @ts-expect-error a page must not write the Map
orders.map.set("a", first);
// @ts-expect-error there is no such option
liveMap("/watch", { onchange() {} });

const client = createClient({ url: "https://kv.example.com", token: async () => "…", ticket: true });
const bucket = client.bucket<Order>("shop");
const entry = await bucket.get("orders.17", { signal: AbortSignal.timeout(1000) });
await bucket.put("orders.17", { qty: (entry?.value.qty ?? 0) + 1 }, { ifMatch: entry, ttl: "1h" });
await bucket.update("orders.17", (order) => order && { ...order, qty: 0 });
for await (const change of bucket.watch({ filter: "orders.>" })) {
  if (change.event === "put") console.log(change.value.qty, change.id);
  if (change.event === "sync") console.log(change.revision, change.exact);
  if (change.event === "reset") console.log(change.reason);
}
try {
  await bucket.liveMap().put("orders.17", { qty: 1 });
} catch (error) {
  if (error instanceof Conflict) console.log(error.theirs, error.yours, error.base);
  if (error instanceof Problem && error.code === "revision-mismatch") console.log(error.status);
}
declare const schema: Schema<unknown, { name: string }>;
const name: string | undefined = (await client.bucket("users", { schema }).get("a"))?.value.name;
console.log(name);

// @ts-expect-error it is no order
bucket.put("orders.17", { quantity: 1 });
// @ts-expect-error there is no such option
bucket.put("orders.17", { qty: 1 }, { ifmatch: 1 });
