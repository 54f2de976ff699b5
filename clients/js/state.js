/**
 * The state of one bucket: its part of the Map, and the snapshot that is on its way.
 *
 * @import { Entry, Change } from "./live-map.d.ts"
 */

const ofBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/**
 * Makes an Entry of the data of a `put`. The value is in one of "value" (JSON), "text" and
 * "base64", or absent.
 */
export function entryOf(data) {
  let value = data.value;
  if (value === undefined) value = data.text;
  if (value === undefined && data.base64 !== undefined) value = ofBase64(data.base64);
  return {
    bucket: data.bucket,
    key: data.key,
    revision: data.revision,
    epoch: data.epoch,
    created: data.created,
    expires: data.expires,
    size: data.size,
    contentType: data.content_type,
    value,
  };
}

const sameRevision = (a, b) =>
  a !== undefined && b !== undefined && a.revision === b.revision && a.epoch === b.epoch;

/** When an entry expires, in milliseconds since 1970; Infinity if it does not. */
export function expiryOf(entry) {
  const at = entry.expires === undefined ? NaN : Date.parse(entry.expires);
  return Number.isNaN(at) ? Infinity : at;
}

export class BucketState {
  /** Everything up to the present has come since the connection began. */
  synced = false;
  /** The gateway has lost its source. */
  stale = false;
  /** The bucket does not exist. */
  deleted = false;

  #shown; // The Map that the page sees. It may have entries of other buckets too.
  #mapKey; // Returns the key of an entry in that Map.
  #owns; // Reports whether an entry in that Map is of this bucket.
  #staging = new Map(); // The snapshot on its way, by key; null if changes go directly to #shown.
  #cause = "snapshot"; // The cause of the snapshot on its way.
  #removed = { epoch: "", revision: 0 }; // The last removal; an older put must not undo it.

  /**
   * @param {Map<string, Entry>} shown
   * @param {(entry: {bucket: string, key: string}) => string} mapKey
   * @param {(entry: Entry) => boolean} owns
   */
  constructor(shown, mapKey, owns) {
    this.#shown = shown;
    this.#mapKey = mapKey;
    this.#owns = owns;
  }

  /** Whether a snapshot is on its way, which is not shown before it is complete. */
  get inSnapshot() {
    return this.#staging !== null;
  }

  /** Notes that what is shown is complete up to the saved id, so that no snapshot is expected. */
  restored() {
    this.#staging = null;
  }

  /** Begins a connection. Without a last event id the gateway sends a snapshot. */
  connecting(lastEventId) {
    this.synced = this.stale = false;
    if (lastEventId === "") this.#stage();
  }

  #stage() {
    this.#staging = new Map();
    this.#removed = { epoch: "", revision: 0 };
  }

  /** Begins a full snapshot. What is shown stays until the snapshot is complete. */
  reset() {
    this.synced = this.stale = this.deleted = false; // The gateway has its source.
    this.#stage();
    this.#cause = "reset";
  }

  /**
   * Applies one revision of one key to the snapshot or to what is shown.
   * @returns {Change[]} the differences from what was shown
   */
  take(operation, data) {
    const staged = this.#staging !== null;
    const target = staged ? this.#staging : this.#shown;
    const key = staged ? data.key : this.#mapKey(data);
    const previous = target.get(key);
    if (!this.#isNewer(data, previous)) return [];

    const entry = operation === "put" ? entryOf(data) : undefined;
    if (entry) target.set(key, entry);
    else {
      target.delete(key);
      this.#removed = { epoch: data.epoch, revision: data.revision };
    }
    if (staged || (!entry && !previous)) return [];
    return [{ key, entry, previous }];
  }

  // Revisions rise strictly in a stream. If one should come twice or late nevertheless, it must not
  // undo a newer one.
  #isNewer(data, previous) {
    if (previous?.epoch === data.epoch && data.revision <= previous.revision) return false;
    return this.#removed.epoch !== data.epoch || data.revision > this.#removed.revision;
  }

  /**
   * Ends the snapshot or the replay. A snapshot replaces what was shown, in one step.
   * @param {number} now the time; entries that have expired meanwhile are left out
   * @returns {{cause: "snapshot" | "reset", changes: Change[]}}
   */
  sync(now) {
    this.synced = true;
    this.stale = this.deleted = false;
    const cause = this.#cause;
    if (this.#staging === null) return { cause, changes: [] };
    const next = this.#staging;
    this.#staging = null;
    return { cause, changes: this.#swap(next, now) };
  }

  #swap(next, now) {
    const changes = [];
    const arrived = new Map();
    for (const entry of next.values()) {
      if (expiryOf(entry) > now) arrived.set(this.#mapKey(entry), entry);
    }
    for (const [key, previous] of this.#shown) {
      if (!this.#owns(previous) || arrived.has(key)) continue;
      this.#shown.delete(key);
      changes.push({ key, entry: undefined, previous });
    }
    for (const [key, entry] of arrived) {
      const previous = this.#shown.get(key);
      if (sameRevision(entry, previous)) continue; // The object stays the same.
      this.#shown.set(key, entry);
      changes.push({ key, entry, previous });
    }
    return changes;
  }

  /**
   * Empties the bucket.
   * @returns {Change[]}
   */
  bucketDeleted() {
    this.#staging = null;
    this.synced = this.deleted = true;
    this.stale = false;
    return this.#swap(new Map(), 0);
  }
}
