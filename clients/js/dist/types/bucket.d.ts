/** A bucket: reads, writes, lists and transactions of its keys. */
import { type Position } from "./address.js";
import { BucketMap, type BucketMapOptions } from "./bucket-map.js";
import { type Entry, type Revision } from "./entry.js";
import { type Problem } from "./problem.js";
import { type Operation, type Transacted } from "./transaction.js";
import { type Schema } from "./value.js";
import { type WatchEvent, type WatchOptions } from "./watch.js";
export interface BucketOptions<T> {
    /**
     * What values are: `put` stores what the schema makes of a value, and what it makes of a stored
     * value is what is read. So it must take what it gives.
     */
    schema?: Schema<unknown, T> | undefined;
    /** `base64` gives each value as the bytes that are stored, `none` leaves values out. */
    values?: "json" | "base64" | "none" | undefined;
}
interface Abortable {
    signal?: AbortSignal | undefined;
}
export interface ReadOptions extends Abortable {
    /** Reads this revision of the key. */
    revision?: number | undefined;
    consistency?: "leader" | "any" | "cached" | undefined;
    /** Never answers from a state older than this. */
    minRevision?: number | Position | undefined;
}
/** The condition of a write, which is one request that is stored or refused. */
export interface Condition {
    /** Only if the key is at this revision: an entry, what a write answered, a number or a tag. */
    ifMatch?: string | number | Position | undefined;
    /** `"*"`: only if the key has no value. Else: unless the key is at this revision. */
    ifNoneMatch?: string | number | Position | undefined;
}
export interface WriteOptions extends Condition, Abortable {
    /** How long the entry is to live: milliseconds, or a Go duration such as "1h30m". */
    ttl?: number | string | undefined;
    /**
     * With it a write whose answer was lost is sent again, and stored once. A write with a condition
     * has one of its own, unless this is `false`.
     */
    idempotencyKey?: string | false | undefined;
}
export interface PutOptions extends WriteOptions {
    contentType?: string | undefined;
}
export interface DeleteOptions extends WriteOptions {
    /** Removes the earlier revisions, too. */
    purge?: boolean | undefined;
}
/** What a write made. */
export interface Written extends Position {
    readonly bucket: string;
    readonly key: string;
}
export interface ListOptions extends Abortable {
    /** NATS subject filters, such as `orders.>`; a key must match one of them. */
    filter?: string | string[] | undefined;
    prefix?: string | undefined;
    /** How many there are in a page. */
    limit?: number | undefined;
    /** `next` of an earlier page with the same options. */
    cursor?: string | undefined;
}
export interface KeyPage {
    readonly keys: string[];
    /** With a delimiter: what is folded. */
    readonly prefixes?: string[];
    readonly revision: number;
    /** How many keys are left out, since no key can have their names here. */
    readonly hidden: number;
    readonly next?: string;
}
export interface EntriesOptions extends ListOptions {
    /** These keys; those that have no value are left out. */
    key?: string[] | undefined;
}
export interface EntryPage<T> {
    readonly entries: Entry<T>[];
    readonly revision: number;
    /** Whether all of the page was read at one instant. */
    readonly snapshot: boolean;
    readonly hidden: number;
    readonly next?: string;
}
/** Whether a write was refused because of what is stored. */
export declare const isMismatch: (error: unknown) => error is Problem;
export declare class Bucket<T = unknown> {
    #private;
    readonly name: string;
    /** Reads a key; undefined if it has no value. */
    get(key: string, options?: ReadOptions): Promise<Entry<T> | undefined>;
    /**
     * Stores a value. Bytes and Blobs are stored as they are, a string as text, and anything else, or
     * with a `contentType` of JSON, as JSON.
     */
    put(key: string, value: T, options?: PutOptions): Promise<Written>;
    /**
     * Reads a key, gives its value to a function, and stores what that returns, unless it returns
     * undefined. If somebody else has written meanwhile, it begins again. The media type stays if it
     * fits the new value; as with `put`, there is no time to live unless `ttl` is given.
     */
    update(key: string, change: (value: T | undefined, entry: Entry<T> | undefined) => T | undefined | Promise<T | undefined>, options?: Omit<PutOptions, keyof Condition | "idempotencyKey">): Promise<Written | undefined>;
    /**
     * Changes a JSON value where it is: by a JSON Merge Patch, which is an object, or a JSON Patch,
     * which is a list of operations. Undefined changes the time to live only.
     */
    patch(key: string, patch: unknown, options?: WriteOptions): Promise<Written>;
    /** Deletes a key, and leaves a marker; undefined if it had no value. */
    delete(key: string, options?: DeleteOptions): Promise<Written | undefined>;
    /** The names of keys, a page at a time. A delimiter folds what follows it into `prefixes`. */
    list(options?: ListOptions & {
        delimiter?: string;
    }): AsyncGenerator<KeyPage, void>;
    /** The entries of keys, a page at a time. */
    entries(options?: EntriesOptions): AsyncGenerator<EntryPage<T>, void>;
    /** The revisions of a key that are kept, oldest first, with its markers. */
    history(key: string, { signal }?: Abortable): Promise<Revision<T>[]>;
    /** Carries out all operations at one instant, or none. */
    transact(operations: Operation<T>[], { signal, idempotencyKey }?: Abortable & {
        idempotencyKey?: string;
    }): Promise<Transacted>;
    /**
     * The changes of keys as they come, through reconnects: first the state, then `sync`, then each
     * change. The stream is not read further than what is taken.
     */
    watch(options?: WatchOptions): AsyncGenerator<WatchEvent<T>, void>;
    /** Keeps a Map equal to the bucket, or to what filters select, and shows writes at once. */
    liveMap(options?: BucketMapOptions<T>): BucketMap<T>;
}
export {};
