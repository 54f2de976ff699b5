/** The live map of a bucket, which shows the changes of its page before they are stored. */
import { reaches, type Position } from "./address.js";
import {
  isMismatch, type Bucket, type DeleteOptions, type PutOptions, type Written,
} from "./bucket.js";
import type { Entry } from "./entry.js";
import { CLOSED, Live, type Cause, type LiveMapOptions } from "./live-map.js";
import { Problem, refusalIn, unknown } from "./problem.js";
import { check, encode, keepsType } from "./value.js";
import type { WatchQuery } from "./watch.js";

export interface BucketMapOptions<T = unknown>
  extends WatchQuery,
    Pick<LiveMapOptions<T>, "onChange" | "onStatus" | "saved" | "signal"> {
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
export class Conflict<T = unknown> extends Problem {
  override name = "Conflict";
  /** The entry that the key has now; null if it has no value, undefined if it cannot be read. */
  declare readonly theirs: Entry<T> | null | undefined;
  /** The value that was refused; undefined for a deletion. */
  declare readonly yours: T | undefined;
  /** The entry that was changed; undefined if the key had no value. */
  declare readonly base: Entry<T> | undefined;

  constructor(cause: Problem, what: Pick<Conflict<T>, "theirs" | "yours" | "base">) {
    super(cause.message, { ...cause, cause });
    Object.assign(this, what);
  }
}

/** How a change is sent: until an answer says what became of it. */
type Insistent = PutOptions & { _retries: number };

/** One change of this page. */
interface Local<T> {
  /** What is shown: undefined for a deletion. */
  entry: Entry<T> | undefined;
  /** What was shown before. */
  base: Entry<T> | undefined;
  /** Settles once the change is stored, or refused. */
  stored?: Promise<Written | undefined>;
  /** Where the gateway has stored it. */
  at?: Position | undefined;
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
export class BucketMap<T = unknown> extends Live<T> {
  #bucket: Bucket<T>;
  #locals = new Map<string, Local<T>[]>(); // By key; the last one of each is shown.
  #seen = new Map<string, Position>(); // The last revision that has come of each of these keys.

  /** @internal */
  constructor(bucket: Bucket<T>, options: BucketMapOptions<T>) {
    super(bucket._watch(options), { ...bucket._client._stream, ...options }, bucket._decode);
    this.#bucket = bucket;
  }

  /** Shows a value at once, and stores it. Rejects with a {@link Conflict} if it was refused. */
  put(key: string, value: T, options: LocalPut = {}): Promise<Written> {
    const stored = check(this.#bucket._options.schema, value);
    const base = this.map.get(key);
    const type = options.contentType ?? keepsType(stored, base?.contentType);
    const { body, contentType } = encode(stored, type);
    const entry: Entry<T> = {
      bucket: this.#bucket.name,
      key,
      revision: base?.revision ?? 0,
      epoch: base?.epoch ?? "",
      created: new Date().toISOString(),
      expires: undefined,
      size: new Blob([body]).size,
      contentType,
      value: stored,
      pending: true,
    };
    return this.#change(key, entry, (condition) =>
      this.#bucket.put(key, stored, { ...options, ...condition, contentType }),
    ) as Promise<Written>;
  }

  /** Takes a key away at once, and deletes it. Rejects with a {@link Conflict} if refused. */
  delete(key: string, options: LocalDelete = {}): Promise<Written | undefined> {
    return this.#change(key, undefined, (condition) =>
      this.#bucket.delete(key, { ...options, ...condition }),
    );
  }

  async #change(
    key: string,
    entry: Entry<T> | undefined,
    send: (condition: Insistent) => Promise<Written | undefined>,
  ): Promise<Written | undefined> {
    if (this._ended) throw CLOSED();
    const locals = this.#locals.get(key) ?? [];
    const before = locals.at(-1);
    const local: Local<T> = { entry, base: this.map.get(key) };
    this.#locals.set(key, locals);
    locals.push(local);
    this.#refresh(key, "local");
    return (local.stored = this.#store(key, local, before, send));
  }

  async #store(
    key: string,
    local: Local<T>,
    before: Local<T> | undefined,
    send: (condition: Insistent) => Promise<Written | undefined>,
  ): Promise<Written | undefined> {
    const { signal } = this._closed;
    try {
      await before?.stored;
      const last = before ? before.at : local.base;
      const condition = last ? { ifMatch: last } : { ifNoneMatch: "*" };
      const written = await send({ ...condition, signal, _retries: Infinity });
      if (!written) this.#rollback(key, local, "confirmed"); // There was nothing to delete.
      else {
        local.at = written;
        const { revision, epoch } = written;
        if (local.entry) local.entry = { ...local.entry, revision, epoch };
        this.#refresh(key, "stored");
        this.#settle(key);
      }
      return written;
    } catch (error) {
      if (signal.aborted) throw unknown(error);
      this.#rollback(key, local, "rollback");
      throw await this.#conflict(key, local, error);
    }
  }

  // Changes on top of this one will be refused, too, so they go with it.
  #rollback(key: string, local: Local<T>, cause: Cause): void {
    const locals = this.#locals.get(key) ?? [];
    const index = locals.indexOf(local);
    if (index < 0) return;
    locals.length = index;
    this.#refresh(key, cause);
  }

  /** Takes away what the stream has reached. */
  #settle(key: string): void {
    const locals = this.#locals.get(key);
    const hasCome = (at: Position) => {
      const seen = this.#seen.get(key);
      return (seen && reaches(seen, at)) || this._states.some((s) => reaches(s._point, at));
    };
    while (locals?.[0]?.at && hasCome(locals[0].at)) locals.shift();
    if (locals?.length === 0) this.#refresh(key, "confirmed");
  }

  /** Shows the last change of a key, or what the stream has told if there is none. */
  #refresh(key: string, cause: Cause): void {
    const previous = this.map.get(key);
    const last = this.#locals.get(key)?.at(-1);
    if (last) this._view._hold(key, last.entry);
    else {
      this.#locals.delete(key);
      this.#seen.delete(key);
      this._view._release(key);
    }
    const entry = this.map.get(key);
    if (entry !== previous) this._show([{ key, entry, previous }], cause);
  }

  async #conflict(key: string, local: Local<T>, error: unknown): Promise<unknown> {
    const cause = refusalIn(error);
    if (!isMismatch(cause)) return error;
    const minRevision = cause.currentRevision;
    const theirs = await this.#bucket
      .get(key, { minRevision, signal: this._closed.signal })
      .then((entry) => entry ?? null, () => undefined);
    return new Conflict<T>(error as Problem, {
      theirs,
      yours: local.entry?.value,
      base: local.base,
    });
  }

  /** @internal */
  override _passed(revision: Position & { key: string }): void {
    const { key } = revision;
    if (!this.#locals.has(key)) return;
    this.#seen.set(key, revision);
    this.#settle(key);
  }

  /** @internal */
  override _progressed(): void {
    for (const key of [...this.#locals.keys()]) this.#settle(key);
  }
}
