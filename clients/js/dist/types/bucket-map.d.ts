import { type DeleteOptions, type PutOptions, type Written } from "./bucket.js";
import type { Entry } from "./entry.js";
import { Live, type LiveMapOptions } from "./live-map.js";
import { Problem } from "./problem.js";
import type { WatchQuery } from "./watch.js";
export interface BucketMapOptions<T = unknown> extends WatchQuery, Pick<LiveMapOptions<T>, "onChange" | "onStatus" | "saved" | "signal"> {
    /** `false` does not compare what the Map has with the gateway's digest of it. */
    digest?: boolean | undefined;
}
type LocalPut = Pick<PutOptions, "contentType" | "ttl">;
type LocalDelete = Pick<DeleteOptions, "purge" | "ttl">;
/**
 * A change of this page was refused, since somebody else has changed the key meanwhile. `code` is
 * `revision-mismatch` or `key-exists`; it is `outcome-unknown` if an earlier answer was lost, so
 * that this change may have been stored before theirs.
 */
export declare class Conflict<T = unknown> extends Problem {
    name: string;
    /** The entry that the key has now; null if it has no value, undefined if it cannot be read. */
    readonly theirs: Entry<T> | null | undefined;
    /** The value that was refused; undefined for a deletion. */
    readonly yours: T | undefined;
    /** The entry that was changed; undefined if the key had no value. */
    readonly base: Entry<T> | undefined;
    constructor(cause: Problem, what: Pick<Conflict<T>, "theirs" | "yours" | "base">);
}
/**
 * A live map with local changes. A change is shown at once, and sent on the condition that the key
 * is as it was shown before. It is shown until the stream has come to the revision that the gateway
 * answered: with that revision of the key, or a later one, or at an exact point. From then on what
 * the stream has told is shown, whatever it is. If the gateway refuses the change, what the stream
 * has told is shown at once. While it is not known whether a change was stored, it is sent again,
 * with the same Idempotency-Key.
 *
 * The changes of one key are sent one after the other, each on the condition that the one before is
 * the last. If one is refused, so are those that were made on top of it.
 */
export declare class BucketMap<T = unknown> extends Live<T> {
    #private;
    /** Shows a value at once, and stores it. Rejects with a {@link Conflict} if it was refused. */
    put(key: string, value: T, options?: LocalPut): Promise<Written>;
    /** Takes a key away at once, and deletes it. Rejects with a {@link Conflict} if refused. */
    delete(key: string, options?: LocalDelete): Promise<Written | undefined>;
}
export {};
