/**
 * liveMap keeps a Map equal to a bucket behind the gateway, through reconnects, restarts, purges,
 * and buckets that are created again. live-map.d.ts has the types and says what each option means;
 * README.md has examples.
 *
 * @import { Change, Entry, LiveMap, LiveMapOptions, Saved, Status } from "./live-map.d.ts"
 */
import { Connection, LONGEST_TIMEOUT, StreamError } from "./connection.js";
import { BucketState, expiryOf } from "./state.js";
import { Tickets } from "./tickets.js";

// Entries that expire within so many milliseconds are dropped together, in one pass over the Map.
const FINEST_EXPIRY = 50;
// An event drops what expired so many milliseconds before, since the timer stands still while the
// machine sleeps, and clocks are set.
const OVERDUE = 1000;
const UNITS = { h: 3600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };

// A stream that will end with its credential is replaced within so many times `retry`, so that
// pages that were opened together do not come back together. The gateway gives 30 s.
const RENEWAL = 5;

// With these options of a watch, folding the events does not give the bucket's state.
const NOT_A_STATE = ["updates_only", "ignore_deletes", "resume_from_revision"];

/** Milliseconds of a Go duration, such as "1m30s". */
function duration(text) {
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/([0-9.]+)(h|ms|us|µs|ns|m|s)/g)) {
    sum += Number(number) * UNITS[unit];
  }
  return sum;
}

/** Adds to the url of a watch a known interval of heartbeats. */
function watchURL(text) {
  const url = new URL(text, globalThis.location?.href);
  for (const name of NOT_A_STATE) {
    if (url.searchParams.has(name)) {
      throw new TypeError(`liveMap: with ${name} the events are not the bucket's state`);
    }
  }
  if (!url.searchParams.has("heartbeat")) url.searchParams.set("heartbeat", "15s");
  return url;
}

const isMulti = (url) => url.searchParams.has("watch");

/** The buckets that a url watches: several for /watch, "" for that of /buckets/{bucket}/watch. */
function bucketsOf(url) {
  if (!isMulti(url)) return [""];
  return url.searchParams.getAll("watch").map((watch) => watch.split(":", 1)[0]);
}

class Live {
  /** @type {Map<string, Entry>} */
  map = new Map();
  /** @type {Status} */
  status = "connecting";
  /** @type {Promise<void>} */
  ready;

  #options;
  #now;
  #multi = false;
  #buckets = new Map(); // Each BucketState by the name of its bucket, or by "" for the only one.
  #connection;
  #tickets; // Makes tickets; undefined if it uses none.
  #open = false;
  #everLive = false;
  #ended = false;
  #settle; // Has resolve and reject of ready.
  #expiry = { at: Infinity, timer: undefined };
  #idleTimeout;
  #leaveSignal = () => {};

  constructor(url, options) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready.catch(() => {}); // A page that does not use ready learns of failures by onStatus.
    this.#paceOf(null); // Until a url says otherwise.
    const dynamic = typeof url === "function";
    if (!dynamic) this.#begin(watchURL(url));
    const source = "EventSource" in options ? options.EventSource : globalThis.EventSource;
    if (options.ticket) this.#tickets = this.#newTickets(options);
    const begun = async () => (dynamic ? this.#begin(watchURL(await url())) : watchURL(url));
    this.#connection = new Connection({
      url: this.#tickets
        ? async () => (await this.#tickets.addTo(await begun())).href
        : dynamic ? async () => (await begun()).href : watchURL(url).href,
      EventSource: options.headers ? null : (source ?? null),
      fetch: options.fetch ?? globalThis.fetch?.bind(globalThis),
      headers: typeof options.headers === "function" ? options.headers : () => options.headers,
      withCredentials: options.withCredentials ?? false,
      retry: options.retry ?? 3000,
      maxRetry: options.maxRetry ?? 30_000,
      idleTimeout: () => this.#idleTimeout,
      lastEventId: options.saved?.lastEventId ?? "",
      onConnecting: (id) => this.#connecting(id),
      onOpen: () => this.#opened(),
      onEvent: (event) => this.#take(event),
      onDown: (error, retryIn) => this.#down(error, retryIn),
      mayRetry: (error) => this.#tickets?.mayHelp(error) ?? false,
    });
    this.#listenTo(options.signal);
    if (!this.#ended) this.#connection.connect();
  }

  #newTickets(options) {
    if (options.headers) {
      throw new TypeError("liveMap: give headers to the ticket, or to the stream, not to both");
    }
    return new Tickets({
      headers: options.ticket.headers,
      url: options.ticket.url,
      fetch: options.fetch ?? globalThis.fetch?.bind(globalThis),
      withCredentials: options.withCredentials ?? false,
      now: this.#now,
    });
  }

  get lastEventId() {
    return this.#connection.lastEventId;
  }

  /** @returns {Saved | null} */
  save() {
    const states = [...this.#buckets.values()];
    if (states.length === 0 || states.some((state) => state.inSnapshot)) return null;
    return { lastEventId: this.lastEventId, entries: [...this.map.values()] };
  }

  close() {
    this.#end("closed", {}, new Error("liveMap: closed"));
  }

  #listenTo(signal) {
    if (!signal) return;
    if (signal.aborted) return this.close();
    const close = () => this.close();
    signal.addEventListener("abort", close, { once: true });
    // The signal may live longer than this object, and would keep the Map in memory.
    this.#leaveSignal = () => signal.removeEventListener("abort", close);
  }

  // Takes the buckets and the interval of heartbeats from a url. A function may return urls with
  // another ticket, but not with other buckets.
  #begin(url) {
    this.#paceOf(url.searchParams.get("heartbeat"));
    if (this.#buckets.size > 0) return url;
    this.#multi = isMulti(url);
    for (const bucket of bucketsOf(url)) this.#addBucket(bucket);
    const saved = this.#options.saved;
    if (saved) this.#restore(saved);
    return url;
  }

  #paceOf(heartbeat) {
    this.#idleTimeout = this.#options.idleTimeout ?? 3 * duration(heartbeat ?? "15s") + 5000;
  }

  #addBucket(bucket) {
    const owns = this.#multi ? (entry) => entry.bucket === bucket : () => true;
    const state = new BucketState(this.map, (entry) => this.#mapKey(entry), owns);
    this.#buckets.set(bucket, state);
    return state;
  }

  #restore(saved) {
    if (!saved.lastEventId) return;
    for (const state of this.#buckets.values()) state.restored();
    for (const entry of saved.entries) {
      const expiry = expiryOf(entry);
      if (expiry <= this.#now()) continue;
      this.map.set(this.#mapKey(entry), entry);
      this.#expectExpiry(expiry);
    }
  }

  // A bucket's name has no "/", so the first one divides bucket and key.
  #mapKey({ bucket, key }) {
    return this.#multi ? `${bucket}/${key}` : key;
  }

  /** The buckets that an event is about: the one it names, or all of them. */
  #of(data) {
    if (!this.#multi) return [...this.#buckets.values()];
    if (data.bucket === undefined) return [...this.#buckets.values()];
    return [this.#buckets.get(data.bucket) ?? this.#addBucket(data.bucket)];
  }

  #connecting(lastEventId) {
    this.#open = false;
    for (const state of this.#buckets.values()) state.connecting(lastEventId);
  }

  #opened() {
    this.#open = true;
    this.#tell();
  }

  #take({ type, data: text }) {
    const data = JSON.parse(text);
    // With events=message the name is in the data.
    const event = type === "message" ? data.event : type;
    if (this.#expiry.at + OVERDUE <= this.#now()) this.#dropExpired();
    switch (event) {
      case "put":
      case "delete":
      case "purge":
      case "expire":
        for (const state of this.#of(data)) this.#changed(state.take(event, data), event);
        return;
      case "sync":
        for (const state of this.#of(data)) this.#synced(state);
        return this.#tell();
      case "reset":
        for (const state of this.#of(data)) state.reset();
        return this.#tell({ event, bucket: data.bucket, reason: data.reason });
      case "stale":
      case "live":
        for (const state of this.#of(data)) state.stale = event === "stale";
        return this.#tell();
      case "bucket-deleted":
        for (const state of this.#of(data)) this.#changed(state.bucketDeleted(), event);
        return this.#tell({ event, bucket: data.bucket });
      case "goaway":
        this.#goAway(data.reason);
        return this.#tell({ event, reason: data.reason });
      case "problem":
        throw new StreamError(data.detail ?? data.title ?? "a problem", {
          status: data.status,
          problem: data,
        });
      // A bookmark only changes the last event id. Other events are those of a later version.
    }
  }

  // The next connection needs another ticket. One whose time is over soon is replaced before.
  #goAway(reason) {
    if (!this.#tickets || (reason !== "auth-expiring" && reason !== "permissions")) return;
    this.#tickets.forget();
    if (reason === "auth-expiring") {
      this.#connection.renew(RENEWAL * (this.#options.retry ?? 3000));
    }
  }

  #synced(state) {
    const { cause, changes } = state.sync(this.#now());
    this.#changed(changes, cause);
  }

  #changed(changes, cause) {
    if (changes.length === 0) return;
    for (const { entry } of changes) if (entry) this.#expectExpiry(expiryOf(entry));
    this.#call(this.#options.onChange, changes, cause);
  }

  // There is one timer, for the entry that expires first. If that is overwritten, the timer fires
  // in vain.
  #expectExpiry(at) {
    if (this.#ended || at >= this.#expiry.at) return;
    clearTimeout(this.#expiry.timer);
    const wait = Math.min(Math.max(at - this.#now(), FINEST_EXPIRY), LONGEST_TIMEOUT);
    this.#expiry = { at, timer: setTimeout(() => this.#dropExpired(), wait) };
  }

  #dropExpired() {
    clearTimeout(this.#expiry.timer);
    this.#expiry = { at: Infinity, timer: undefined };
    const now = this.#now();
    const changes = [];
    let next = Infinity;
    for (const [key, previous] of this.map) {
      const at = expiryOf(previous);
      if (at > now) next = Math.min(next, at);
      else {
        this.map.delete(key);
        changes.push({ key, entry: undefined, previous });
      }
    }
    this.#expectExpiry(next);
    this.#changed(changes, "expire");
  }

  #down(error, retryIn) {
    this.#open = false;
    if (error.permanent) this.#end("failed", { error, problem: error.problem }, error);
    else this.#tell({ error, problem: error.problem, retryIn });
  }

  #end(status, detail, error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#connection.close();
    this.#leaveSignal();
    clearTimeout(this.#expiry.timer);
    this.#settle.reject(error);
    this.#setStatus(status, detail);
  }

  /** Reports the status if it has changed, or if there is a detail. */
  #tell(detail) {
    if (this.#ended) return;
    const status = this.#statusNow();
    if (status === "live" || status === "deleted") {
      this.#everLive = true;
      this.#settle.resolve();
    }
    if (status !== this.status || detail) this.#setStatus(status, detail ?? {});
  }

  /** @returns {Status} */
  #statusNow() {
    if (!this.#open) return this.#everLive ? "reconnecting" : "connecting";
    const states = [...this.#buckets.values()];
    if (states.some((state) => state.stale)) return "stale";
    if (states.some((state) => !state.synced)) return "syncing";
    return states.every((state) => state.deleted) ? "deleted" : "live";
  }

  #setStatus(status, detail) {
    this.status = status;
    this.#call(this.#options.onStatus, status, detail);
  }

  // An exception in a callback is the page's, as one in an event listener is. The stream goes on.
  #call(callback, ...values) {
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
 * @param {string | URL | (() => string | URL | Promise<string | URL>)} url
 * @param {LiveMapOptions} [options]
 * @returns {LiveMap}
 */
export const liveMap = (url, options = {}) => new Live(url, options);

export { StreamError };
