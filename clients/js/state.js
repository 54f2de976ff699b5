/**
 * What is known of one bucket: its part of the Map, and the snapshot that is on its way.
 *
 * @import { Entry, Change } from "./live-map.d.ts"
 */

const ofBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/** Makes an Entry of the data of a `put`. A value comes as one of "value" (JSON), "text" and "base64", or not at all. */
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

const sameRevision = (a, b) => a !== undefined && b !== undefined && a.revision === b.revision && a.epoch === b.epoch;

/** When an entry vanishes, in milliseconds since 1970; Infinity for one that stays. */
export function expiryOf(entry) {
  const at = entry.expires === undefined ? NaN : Date.parse(entry.expires);
  return Number.isNaN(at) ? Infinity : at;
}

export class BucketState {
  /** Complete since the stream was connected: what comes now is live. */
  synced = false;
  /** The gateway said that it lost its source. */
  stale = false;
  /** The bucket does not exist. */
  deleted = false;

  #shown; // the Map that the page sees, with the entries of other buckets where several are watched
  #mapKey; // the key of an entry in it
  #owns; // whether an entry in it is of this bucket
  #staging = new Map(); // a snapshot on its way, by key; null when changes go straight to #shown
  #cause = "snapshot"; // what the snapshot on its way is for
  #removed = { epoch: "", revision: 0 }; // the last removal, so that an older put does not bring the key back

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

  /** A snapshot is on its way, and not shown before it is complete. */
  get inSnapshot() {
    return this.#staging !== null;
  }

  /** What is shown is complete up to a last event id that was kept with it: no snapshot is expected. */
  restored() {
    this.#staging = null;
  }

  /** A connection begins. Without a last event id the gateway begins at the beginning, and so must we. */
  connecting(lastEventId) {
    this.synced = this.stale = false;
    if (lastEventId === "") this.#stage();
  }

  #stage() {
    this.#staging = new Map();
    this.#removed = { epoch: "", revision: 0 };
  }

  /** A full snapshot follows. What is shown stays until it is complete. */
  reset() {
    this.synced = this.stale = this.deleted = false; // who can reset has its source
    this.#stage();
    this.#cause = "reset";
  }

  /**
   * Takes one revision of one key, into the snapshot or into what is shown.
   * @returns {Change[]} the differences to what was shown
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

  // Revisions rise strictly in a stream. Should one come twice or late all the same, it must not undo a newer one.
  #isNewer(data, previous) {
    if (previous?.epoch === data.epoch && data.revision <= previous.revision) return false;
    return this.#removed.epoch !== data.epoch || data.revision > this.#removed.revision;
  }

  /**
   * The snapshot, or the replay, is complete: a snapshot takes the place of what was shown, in one step.
   * @param {number} now entries that expired while it was on its way are left out
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
    for (const entry of next.values()) if (expiryOf(entry) > now) arrived.set(this.#mapKey(entry), entry);
    for (const [key, previous] of this.#shown) {
      if (!this.#owns(previous) || arrived.has(key)) continue;
      this.#shown.delete(key);
      changes.push({ key, entry: undefined, previous });
    }
    for (const [key, entry] of arrived) {
      const previous = this.#shown.get(key);
      if (sameRevision(entry, previous)) continue; // the object stays the same where the revision does
      this.#shown.set(key, entry);
      changes.push({ key, entry, previous });
    }
    return changes;
  }

  /**
   * The bucket is gone, and everything in it.
   * @returns {Change[]}
   */
  bucketDeleted() {
    this.#staging = null;
    this.synced = this.deleted = true;
    this.stale = false;
    return this.#swap(new Map(), 0);
  }
}
