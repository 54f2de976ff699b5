/** The state of one bucket: its part of a view, and the snapshot that is on its way. */
import { epochOf, type Position } from "./address.js";
import { digestOf } from "./digest.js";
import { entryOf, expiryOf, sameRevision, type Entry, type WireEntry } from "./entry.js";
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
  _mapKey: (entry: { bucket: string; key: string }) => string;
  /** Whether the Map has entries of several buckets. */
  _isOfSeveral: boolean;
}

/** Before the first position: it reaches none. */
const NOWHERE: Position = { revision: 0, epoch: "" };

export class BucketState<T> {
  /** Everything up to the present has come since the connection began. */
  _synced = false;
  /** The gateway has lost its source. */
  _stale = false;
  /** At the last exact point, the digest was not that of the gateway. */
  _doubted = false;
  /** The bucket does not exist. */
  _deleted = false;
  /** The last exact point: there the changes, folded, gave the bucket's state. */
  _point = NOWHERE;

  readonly _bucket: string;
  #shared: Shared<T>;
  // The snapshot on its way, by key; null if changes go directly to the view.
  #staging: Map<string, Entry<T>> | null = new Map();
  #cause: "snapshot" | "reset" = "snapshot"; // The cause of the snapshot on its way.
  #removed = NOWHERE; // An older put must not undo the last removal.

  constructor(bucket: string, shared: Shared<T>) {
    this._bucket = bucket;
    this.#shared = shared;
  }

  /** Whether a snapshot is on its way, which is not shown before it is complete. */
  get _inSnapshot(): boolean {
    return this.#staging !== null;
  }

  /** Notes that what is shown is complete up to the saved id, so that no snapshot is expected. */
  _restored(): void {
    this.#staging = null;
  }

  /** Begins a connection. Without a last event id the gateway sends a snapshot. */
  _connecting(lastEventId: string): void {
    this._synced = this._stale = false;
    if (lastEventId === "") this.#stage();
  }

  #stage(): void {
    this.#staging = new Map();
    this.#removed = NOWHERE;
  }

  /** Begins a full snapshot. What is shown stays until the snapshot is complete. */
  _reset(): void {
    this._synced = this._stale = this._deleted = false; // The gateway has its source.
    this._point = NOWHERE; // It may be one of another history.
    this.#stage();
    this.#cause = "reset";
  }

  /**
   * Applies one revision of one key to the snapshot or to what was told, and returns the
   * differences from that.
   */
  _take(operation: string, data: WireEntry): Change<T>[] {
    const { _view: view, _decode: decode, _mapKey: mapKey } = this.#shared;
    const key = mapKey(data);
    const staging = this.#staging;
    const told = view.get(key);
    const previous = staging ? staging.get(key) : told;
    if (!this.#isNewer(data, previous)) return [];

    const entry = operation === "put" ? entryOf(data, decode) : undefined;
    if (!entry) this.#removed = data;
    if (!staging) return entry || previous ? [view._tell(key, entry)] : [];
    if (entry) staging.set(key, sameRevision(entry, told) ? told! : entry);
    else staging.delete(key);
    return [];
  }

  // Revisions rise strictly in a stream. If one should come twice or late nevertheless, it must not
  // undo a newer one.
  #isNewer(data: WireEntry, previous: Entry | undefined): boolean {
    if (previous?.epoch === data.epoch && data.revision <= previous.revision) return false;
    return this.#removed.epoch !== data.epoch || data.revision > this.#removed.revision;
  }

  /**
   * Drops keys that are gone without a marker, unless a later revision of them has come, and
   * returns the differences from what was told.
   */
  _drop(removed: { key: string; revision: number }[]): Change<T>[] {
    const { _view: view, _mapKey: mapKey } = this.#shared;
    const changes: Change<T>[] = [];
    for (const { key: name, revision } of removed) {
      const key = mapKey({ bucket: this._bucket, key: name });
      const previous = (this.#staging ?? view).get(key);
      if (!previous || previous.revision > revision) continue;
      if (!this.#staging?.delete(key)) changes.push(view._tell(key));
    }
    return changes;
  }

  /** Notes how far the stream has come, with the id of the event that told it. */
  _reach({ revision = 0, exact }: Progress, id: string): void {
    if (exact) this._point = { revision, epoch: epochOf(id, this._bucket) };
  }

  /**
   * Ends the snapshot or the replay. A snapshot replaces what was shown, in one step.
   * @param now the time; entries that have expired meanwhile are left out
   */
  _sync(now: number): { cause: "snapshot" | "reset"; changes: Change<T>[] } {
    this._synced = true;
    this._stale = this._deleted = false;
    const next = this.#staging;
    this.#staging = null;
    return { cause: this.#cause, changes: next ? this.#swap(next, now) : [] };
  }

  #swap(next: Map<string, Entry<T>>, now: number): Change<T>[] {
    const { _view: view } = this.#shared;
    const changes: Change<T>[] = [];
    for (const [key, entry] of next) if (expiryOf(entry) <= now) next.delete(key);
    for (const [key, previous] of view) {
      if (this.#owns(previous) && !next.has(key)) changes.push(view._tell(key));
    }
    for (const [key, entry] of next) {
      // Of the same revision, the object stays the same.
      if (!sameRevision(entry, view.get(key))) changes.push(view._tell(key, entry));
    }
    return changes;
  }

  /** Whether an entry in the Map is of this bucket. */
  #owns(entry: Entry): boolean {
    return !this.#shared._isOfSeveral || entry.bucket === this._bucket;
  }

  /** The digest of what was told, as the gateway makes it. */
  _digest(): string {
    const told = [...this.#shared._view].map(([, entry]) => entry);
    return digestOf(told.filter((entry) => this.#owns(entry)));
  }

  /** Empties the bucket, and returns the differences. */
  _bucketDeleted(): Change<T>[] {
    this.#staging = null;
    this._synced = this._deleted = true;
    this._stale = this._doubted = false;
    this._point = { ...this._point, revision: Infinity }; // Nothing of this life is left.
    return this.#swap(new Map(), 0);
  }
}
