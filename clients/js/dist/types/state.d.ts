/** The state of one bucket: its part of a view, and the snapshot that is on its way. */
import { type Position } from "./address.js";
import { type Entry, type WireEntry } from "./entry.js";
import type { Decode } from "./value.js";
import type { View } from "./view.js";
/**
 * One difference of the Map: `entry` is there now, and `previous` was there before. One of them may
 * be undefined.
 */
export interface Change<T = unknown> {
    /** The key in the Map. */
    readonly key: string;
    readonly entry: Entry<T> | undefined;
    readonly previous: Entry<T> | undefined;
}
/** How far a stream has come, as `sync` and bookmarks tell. */
export interface Progress {
    revision?: number;
    exact?: boolean;
    digest?: string;
}
/** What is the same for all buckets of a live map. */
export interface Shared<T> {
    _view: View<T>;
    _decode: Decode<T>;
    /** Returns the key of an entry in the Map. */
    _mapKey: (entry: {
        bucket: string;
        key: string;
    }) => string;
    /** Whether the Map has entries of several buckets. */
    _isOfSeveral: boolean;
}
export declare class BucketState<T> {
    #private;
    /** Everything up to the present has come since the connection began. */
    _synced: boolean;
    /** The gateway has lost its source. */
    _stale: boolean;
    /** At the last exact point, the digest was not that of the gateway. */
    _doubted: boolean;
    /** The bucket does not exist. */
    _deleted: boolean;
    /** The last exact point: there the changes, folded, gave the bucket's state. */
    _point: Position;
    readonly _bucket: string;
    constructor(bucket: string, shared: Shared<T>);
    /** Whether a snapshot is on its way, which is not shown before it is complete. */
    get _inSnapshot(): boolean;
    /** Notes that what is shown is complete up to the saved id, so that no snapshot is expected. */
    _restored(): void;
    /** Begins a connection. Without a last event id the gateway sends a snapshot. */
    _connecting(lastEventId: string): void;
    /** Begins a full snapshot. What is shown stays until the snapshot is complete. */
    _reset(): void;
    /**
     * Applies one revision of one key to the snapshot or to what was told, and returns the
     * differences from that.
     */
    _take(operation: string, data: WireEntry): Change<T>[];
    /**
     * Drops keys that are gone without a marker, unless a later revision of them has come, and
     * returns the differences from what was told.
     */
    _drop(removed: {
        key: string;
        revision: number;
    }[]): Change<T>[];
    /** Notes how far the stream has come, with the id of the event that told it. */
    _reach({ revision, exact }: Progress, id: string): void;
    /**
     * Ends the snapshot or the replay. A snapshot replaces what was shown, in one step.
     * @param now the time; entries that have expired meanwhile are left out
     */
    _sync(now: number): {
        cause: "snapshot" | "reset";
        changes: Change<T>[];
    };
    /** The digest of what was told, as the gateway makes it. */
    _digest(): string;
    /** Empties the bucket, and returns the differences. */
    _bucketDeleted(): Change<T>[];
}
