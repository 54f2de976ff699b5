/**
 * liveMap keeps a Map equal to a bucket behind the gateway, through reconnects, restarts, purges,
 * and buckets that are created again.
 */
import { epochOf, watchesOf, type Position } from "./address.js";
import { expiryOf, type Entry, type WireEntry } from "./entry.js";
import {
  Connection, LONGEST_TIMEOUT, type Hooks, type StreamOptions, type WatchURL,
} from "./connection.js";
import { StreamError, problemOf, type ProblemDocument } from "./problem.js";
import { onAbort } from "./request.js";
import type { ServerSentEvent } from "./sse.js";
import { BucketState, type Change, type Progress, type Shared } from "./state.js";
import { decodeBy, type Decode } from "./value.js";
import { View } from "./view.js";

/**
 * Why the Map changed. `snapshot` and `reset` report all differences of one step in one call.
 * `removed` are keys that are gone without a marker. `local` is a change of this page that is shown
 * before it is stored, `stored` gives it the revision that the gateway answered, from `confirmed`
 * on the stream's own entry is shown, and `rollback` is a change of this page that was refused.
 */
export type Cause =
  | "put" | "delete" | "purge" | "expire" | "snapshot" | "reset" | "bucket-deleted" | "removed"
  | "local" | "stored" | "confirmed" | "rollback";

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
export type Status =
  | "connecting" | "syncing" | "live" | "stale" | "deleted" | "reconnecting" | "failed" | "closed";

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

// Entries that expire within so many milliseconds are dropped together, in one pass over the Map.
const FINEST_EXPIRY = 50;
// An event drops what expired so many milliseconds before, since the timer stands still while the
// machine sleeps, and clocks are set.
const OVERDUE = 1000;

// With these options of a watch, folding the events does not give the bucket's state.
const NOT_A_STATE = ["updates_only", "ignore_deletes", "resume_from_revision"];

/** @internal */
export const CLOSED = (): Error => new Error("liveMap: closed");

/** The data of any event. */
interface EventData extends Progress {
  event?: string;
  bucket?: string;
  reason?: string;
  removed?: { key: string; revision: number }[];
}

export class Live<T> implements LiveMap<T> {
  readonly ready: Promise<void>;

  /** @internal */ readonly _view = new View<T>();
  /** The buckets that the url names. @internal */
  readonly _buckets = new Map<string, BucketState<T>>();
  /** @internal */ _ended = false;
  /** Aborted by close(). @internal */ readonly _closed = new AbortController();
  #options: LiveMapOptions<T>;
  #now: () => number;
  #shared: Shared<T>;
  #connection: Connection;
  #status: Status = "connecting";
  #open = false;
  #everLive = false;
  #settle!: { resolve: () => void; reject: (error: unknown) => void }; // Settles ready.
  #expiry: { at: number; timer?: ReturnType<typeof setTimeout> } = { at: Infinity };
  #leaveSignal = () => {};
  #listeners = new Set<() => void>();
  #snapshot: Snapshot<T> | undefined; // The last one, unless something has changed since.

  constructor(url: WatchURL, options: LiveMapOptions<T>, decode: Decode<T> = decodeBy<T>()) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready.catch(() => {}); // A page that does not use ready learns of failures by onStatus.
    this.#shared = {
      _view: this._view,
      _decode: decode,
      _isOfSeveral: false,
      // A bucket's name has no "/", so the first one divides bucket and key.
      _mapKey: ({ bucket, key }) => (this.#shared._isOfSeveral ? `${bucket}/${key}` : key),
    };
    const hooks: Hooks = {
      _wanted: { removals: "event", digest: "true" },
      _begun: (u) => this.#begin(u),
      _connecting: (id) => this.#connecting(id),
      _open: () => this.#opened(),
      _event: (event) => this.#take(event),
      _down: (error, retryIn) => this.#down(error, retryIn),
    };
    this.#connection = new Connection(url, options, hooks, options.saved?.lastEventId);
    this.#leaveSignal = onAbort(options.signal, () => this.close());
    if (!this._ended) this.#connection._connect();
  }

  get map(): ReadonlyMap<string, Entry<T>> {
    return this._view._map;
  }

  get status(): Status {
    const isOverdue = !this._ended && this.#connection._isOverdue;
    return isOverdue ? this.#statusOf(false) : this.#status;
  }

  get lastEventId(): string {
    return this.#connection._lastEventId;
  }

  subscribe = (listener: () => void): (() => void) => {
    const own = () => listener(); // One function may subscribe twice.
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  };

  getSnapshot = (): Snapshot<T> => {
    const { status } = this;
    const last = this.#snapshot;
    if (last?.status === status) return last;
    // A status that changes alone leaves the Map as it is.
    const map = last?.map ?? new Map(this._view._map);
    return (this.#snapshot = { map, status });
  };

  save(): Saved<T> | null {
    const states = this._states;
    if (states.length === 0 || states.some((state) => state._inSnapshot)) return null;
    return { lastEventId: this.lastEventId, entries: [...this._view].map(([, entry]) => entry) };
  }

  close(): void {
    this.#end("closed", {}, CLOSED());
  }

  /** @internal */
  get _states(): BucketState<T>[] {
    return [...this._buckets.values()];
  }

  // Takes the buckets from a url. A function may return urls with another ticket, but not with
  // other buckets.
  #begin(url: URL): void {
    const bad = NOT_A_STATE.find((name) => url.searchParams.has(name));
    if (bad) throw new TypeError(`a live map cannot have ${bad}`);
    if (this._buckets.size > 0) return;
    this.#shared._isOfSeveral = url.searchParams.has("watch");
    for (const watch of watchesOf(url)) {
      const bucket = watch.split(":", 1)[0]!;
      this._buckets.set(bucket, new BucketState<T>(bucket, this.#shared));
    }
    const { saved } = this.#options;
    if (saved) this.#restore(saved);
  }

  #restore(saved: Saved<T>): void {
    if (!saved.lastEventId) return;
    for (const state of this._states) state._restored();
    for (const entry of saved.entries) {
      const expiry = expiryOf(entry);
      if (expiry <= this.#now()) continue;
      this._view._tell(this.#shared._mapKey(entry), entry);
      this.#expectExpiry(expiry);
    }
  }

  /** The buckets that an event is about: the one it names, or all of them. */
  #of({ bucket }: EventData): BucketState<T>[] {
    const isOfOne = this.#shared._isOfSeveral && bucket !== undefined;
    return this._states.filter(({ _bucket }) => !isOfOne || _bucket === bucket);
  }

  #connecting(lastEventId: string): void {
    this.#open = false;
    for (const state of this._states) state._connecting(lastEventId);
  }

  #opened(): void {
    this.#open = true;
    this.#tell();
  }

  #take({ type, data: text, id }: ServerSentEvent): void {
    const data = JSON.parse(text) as EventData;
    // With events=message the name is in the data.
    const event = type === "message" ? data.event : type;
    this.#dropOverdue();
    if (event === "problem") throw problemOf(data as ProblemDocument);
    for (const state of this.#of(data)) this.#apply(state, event, data, id);
    const { bucket, reason } = data;
    switch (event) {
      case "bucket-deleted":
      case "reset":
        return this.#tell({ event, bucket, reason });
      case "goaway":
        this.#connection._goAway(reason!);
        return this.#tell({ event, reason });
      default: // Others are told of if they have changed the status.
        this.#tell();
    }
  }

  /** Applies an event to one bucket. Events that are not here are those of a later version. */
  #apply(state: BucketState<T>, event: string | undefined, data: EventData, id: string): void {
    switch (event) {
      case "put":
      case "delete":
      case "purge":
      case "expire":
        this.#changed(state._take(event, data as WireEntry), event);
        if (!state._inSnapshot) this._passed(data as WireEntry);
        return;
      case "removed": {
        const { removed = [] } = data;
        this.#changed(state._drop(removed), event);
        if (state._inSnapshot) return;
        const epoch = epochOf(id, state._bucket);
        for (const one of removed) this._passed({ ...one, epoch });
        return;
      }
      case "sync": {
        const { cause, changes } = state._sync(this.#now());
        this.#changed(changes, cause);
        return this.#reached(state, data, id);
      }
      case "bookmark":
        return this.#reached(state, data, id);
      case "reset":
        return state._reset();
      case "stale":
      case "live":
        state._stale = event === "stale";
        return;
      case "bucket-deleted":
        this.#changed(state._bucketDeleted(), event);
        this._progressed();
    }
  }

  #reached(state: BucketState<T>, progress: Progress, id: string): void {
    if (state._inSnapshot) return;
    state._reach(progress, id);
    this._progressed();
    if (progress.exact) this.#compare(state, progress.digest);
  }

  // What is held should be what the gateway says. If it is not, it begins anew, once. From then on
  // it is not live before the two agree.
  #compare(state: BucketState<T>, digest: string | undefined): void {
    const wasDoubted = state._doubted;
    state._doubted = digest !== undefined && digest !== state._digest();
    if (!state._doubted) return;
    const detail: StatusDetail = { event: "digest", bucket: state._bucket };
    if (wasDoubted) detail.error = new StreamError(`the entries are not those of ${digest}`);
    else this.#connection._restart();
    this.#tell(detail);
  }

  // Reports changes of what was told, as far as they are shown.
  #changed(changes: Change<T>[], cause: Cause): void {
    for (const { entry } of changes) if (entry) this.#expectExpiry(expiryOf(entry));
    this._show(changes.filter(({ key }) => !this._view._isHeld(key)), cause);
  }

  /** Reports changes of what is shown. @internal */
  _show(changes: Change<T>[], cause: Cause): void {
    if (changes.length === 0) return;
    this.#snapshot = undefined;
    this.#call(this.#options.onChange, changes, cause);
    this.#notify();
  }

  /** Is called once a revision of a key has come, or is known to be gone. @internal */
  _passed(_revision: Position & { key: string }): void {}

  /** Is called once a bucket may be at another exact point. @internal */
  _progressed(): void {}

  // There is one timer, for the entry that expires first. If that is overwritten, the timer fires
  // in vain.
  #expectExpiry(at: number): void {
    if (this._ended || at >= this.#expiry.at) return;
    clearTimeout(this.#expiry.timer);
    const wait = Math.min(Math.max(at - this.#now(), FINEST_EXPIRY), LONGEST_TIMEOUT);
    this.#expiry = { at, timer: setTimeout(() => this.#dropExpired(), wait) };
  }

  #dropOverdue(): void {
    if (this.#expiry.at + OVERDUE <= this.#now()) this.#dropExpired();
  }

  #dropExpired(): void {
    clearTimeout(this.#expiry.timer);
    this.#expiry = { at: Infinity };
    const now = this.#now();
    const changes: Change<T>[] = [];
    let next = Infinity;
    for (const [key, entry] of this._view) {
      const at = expiryOf(entry);
      if (at > now) next = Math.min(next, at);
      else changes.push(this._view._tell(key));
    }
    this.#expectExpiry(next);
    this.#changed(changes, "expire");
  }

  #down(error: Error, retryIn: number | undefined): void {
    this.#open = false;
    this.#dropOverdue();
    const { permanent, problem } = error as StreamError;
    if (permanent) this.#end("failed", { error, problem }, error);
    else this.#tell({ error, problem, retryIn });
  }

  #end(status: "closed" | "failed", detail: StatusDetail, error: Error): void {
    if (this._ended) return;
    this._ended = true;
    if (status === "closed") this._closed.abort(error);
    this.#connection._close();
    this.#leaveSignal();
    clearTimeout(this.#expiry.timer);
    this.#settle.reject(error);
    this.#setStatus(status, detail);
  }

  /** Reports the status if it has changed, or if there is a detail. */
  #tell(detail?: StatusDetail): void {
    if (this._ended) return;
    const status = this.#statusOf(this.#open);
    if (status === "live" || status === "deleted") {
      this.#everLive = true;
      this.#settle.resolve();
    }
    if (status !== this.#status || detail) this.#setStatus(status, detail ?? {});
  }

  #statusOf(open: boolean): Status {
    if (!open) return this.#everLive ? "reconnecting" : "connecting";
    const states = this._states;
    if (states.some((state) => state._stale)) return "stale";
    if (states.some((state) => !state._synced)) return "syncing";
    if (states.some((state) => state._doubted)) return "stale";
    return states.every((state) => state._deleted) ? "deleted" : "live";
  }

  #setStatus(status: Status, detail: StatusDetail): void {
    this.#status = status;
    this.#call(this.#options.onStatus, status, detail);
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) this.#call(listener);
  }

  // An exception in a callback is the page's, as one in an event listener is. The stream goes on.
  #call<A extends unknown[]>(callback: ((...values: A) => void) | undefined, ...values: A): void {
    try {
      callback?.(...values);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/**
 * Keeps a Map equal to the state that a watch of the gateway tells.
 * @param url `/buckets/{bucket}/watch?filter=…` or `/watch?watch=a:x.>&watch=b`. A function is
 *     called before every connection.
 */
export function liveMap<T = unknown>(
  url: WatchURL,
  options: LiveMapOptions<T> = {},
): LiveMap<T> {
  return new Live<T>(url, options);
}
