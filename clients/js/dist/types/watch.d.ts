/** The changes of a bucket as an async iterator. */
import type { Bucket } from "./bucket.js";
import { type Entry, type Revision } from "./entry.js";
/** What a watch selects, and what it gives. */
export interface WatchQuery {
    /** NATS subject filters, such as `orders.>`; a key must match one of them. */
    filter?: string | string[] | undefined;
    /** How often the gateway says that it is there, as a Go duration. Default: 15s. */
    heartbeat?: string | undefined;
    /**
     * With `event`, keys that are gone without a marker are told as `removed`, where the gateway can;
     * else it begins anew with a `reset`. A live map asks for it by itself.
     */
    removals?: "event" | undefined;
}
export interface WatchOptions extends WatchQuery {
    /** The id of an event, after which it goes on. */
    after?: string | undefined;
    /** Only what changes from now on. */
    updatesOnly?: boolean | undefined;
    /** All revisions that are kept of each key, not only the last one. */
    includeHistory?: boolean | undefined;
    ignoreDeletes?: boolean | undefined;
    signal?: AbortSignal | undefined;
}
/** What every event has: the id after which a watch goes on. */
interface Identified {
    readonly id: string;
}
/** One event of a watch. */
export type WatchEvent<T = unknown> = Identified & (({
    readonly event: "put";
} & Entry<T>) | ({
    readonly event: "delete" | "purge" | "expire";
} & Omit<Revision<T>, "value">) | {
    /** `exact`: what came, folded, is the bucket's state at the revision. */
    readonly event: "sync" | "bookmark";
    readonly revision: number;
    readonly exact: boolean;
    readonly keys?: number;
} | {
    readonly event: "reset" | "goaway";
    readonly reason: string;
} | {
    readonly event: "removed";
    readonly removed: {
        key: string;
        revision: number;
    }[];
} | {
    readonly event: "stale" | "live" | "bucket-deleted";
});
export declare function watch<T>(bucket: Bucket<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>, void>;
export {};
