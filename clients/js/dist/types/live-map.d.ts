import { type Entry } from "./entry.js";
import { type StreamOptions, type WatchURL } from "./connection.js";
import { type ProblemDocument } from "./problem.js";
import { type Change } from "./state.js";
import { type Decode } from "./value.js";
/**
 * Why the Map changed. `snapshot` and `reset` report all differences of one step in one call.
 * `removed` are keys that are gone without a marker. `local` is a change of this page that is shown
 * before it is stored, `stored` gives it the revision that the gateway answered, from `confirmed`
 * on the stream's own entry is shown, and `rollback` is a change of this page that was refused.
 */
export type Cause = "put" | "delete" | "purge" | "expire" | "snapshot" | "reset" | "bucket-deleted" | "removed" | "local" | "stored" | "confirmed" | "rollback";
/**
 * - `connecting`: it has not been live yet, and has no connection
 * - `syncing`: it is connected, and a snapshot or what was missed is on its way; the Map has what
 *   was known before
 * - `live`: the Map is the bucket's state
 * - `stale`: it is connected, and the gateway has lost its source for the moment, or the Map is not
 *   what the gateway's digest says, although it was fetched anew
 * - `deleted`: it is live, and the bucket (or each of several) does not exist
 * - `reconnecting`: the connection is lost; the Map has what was known
 * - `failed`: it has ended, since it was refused for a cause that does not pass
 * - `closed`: it has ended by `close()` or the signal
 */
export type Status = "connecting" | "syncing" | "live" | "stale" | "deleted" | "reconnecting" | "failed" | "closed";
/** Details of a status. onStatus is called again with the same status if they have changed. */
export interface StatusDetail {
    /**
     * What the gateway sent: `goaway` announces the end of the stream, `reset` a full snapshot.
     * `digest` is of this page: the Map was not what the gateway said, and begins anew; with an
     * `error`, it was not again.
     */
    event?: "reset" | "bucket-deleted" | "goaway" | "digest";
    bucket?: string | undefined;
    /**
     * For `reset`: epoch, ahead, horizon, unknown-id, purged, filters, config, reverted. For
     * `goaway`: shutdown, max-age, auth-expiring, permissions, slow.
     */
    reason?: string | undefined;
    error?: Error;
    /** The gateway's problem document. */
    problem?: ProblemDocument | undefined;
    /** Milliseconds until the next attempt. */
    retryIn?: number | undefined;
}
/**
 * What to keep, for example in IndexedDB, in order to begin from there next time. A structured
 * clone preserves it; JSON does not preserve bytes.
 */
export interface Saved<T = unknown> {
    lastEventId: string;
    entries: Entry<T>[];
}
export interface LiveMapOptions<T = unknown> extends StreamOptions {
    /** Called after the Map changed, never with an empty list. */
    onChange?: ((changes: Change<T>[], cause: Cause) => void) | undefined;
    onStatus?: ((status: Status, detail: StatusDetail) => void) | undefined;
    /** What save() returned earlier, for the same url. */
    saved?: Saved<T> | null | undefined;
}
/** What a view shows at one moment. It never changes; another moment has another one. */
export interface Snapshot<T = unknown> {
    readonly map: ReadonlyMap<string, Entry<T>>;
    readonly status: Status;
}
export interface LiveMap<T = unknown> {
    /**
     * Always the same Map, from `key` to Entry, or from `bucket/key` to Entry for a url of several
     * buckets. Read it, do not write it.
     */
    readonly map: ReadonlyMap<string, Entry<T>>;
    readonly status: Status;
    /** The id at which the next connection resumes. */
    readonly lastEventId: string;
    /** Resolves when the Map is live for the first time; rejects if it ends before. */
    readonly ready: Promise<void>;
    /** Calls a function after each change of the Map or the status, until the result is called. */
    readonly subscribe: (listener: () => void) => () => void;
    /**
     * Returns what there is now: the same object until something changes, as React's
     * useSyncExternalStore needs it. It copies the Map, once for each change that is looked at.
     * Entries that have not changed are the same objects, and so are the parts of their values.
     */
    readonly getSnapshot: () => Snapshot<T>;
    /** Returns the entries and the id that belong together; null while a snapshot is on its way. */
    save(): Saved<T> | null;
    close(): void;
}
export declare class Live<T> implements LiveMap<T> {
    #private;
    readonly ready: Promise<void>;
    constructor(url: WatchURL, options: LiveMapOptions<T>, decode?: Decode<T>);
    get map(): ReadonlyMap<string, Entry<T>>;
    get status(): Status;
    get lastEventId(): string;
    subscribe: (listener: () => void) => (() => void);
    getSnapshot: () => Snapshot<T>;
    save(): Saved<T> | null;
    close(): void;
}
/**
 * Keeps a Map equal to the state that a watch of the gateway tells.
 * @param url `/buckets/{bucket}/watch?filter=…` or `/watch?watch=a:x.>&watch=b`. A function is
 *     called before every connection.
 */
export declare function liveMap<T = unknown>(url: WatchURL, options?: LiveMapOptions<T>): LiveMap<T>;
