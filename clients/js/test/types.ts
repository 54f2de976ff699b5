// A program in TypeScript that uses the module's types. It is compiled, and not run.
import { liveMap, StreamError, type Entry, type LiveMap, type Saved } from "@kvgateway/client";

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
