/** One key's value at a revision. */
export interface Entry<T = unknown> {
  bucket: string;
  key: string;
  revision: number;
  /** The life of the bucket that the revision belongs to. `"<revision>-<epoch>"` is an ETag. */
  epoch: string;
  /** When it was stored, in RFC 3339. */
  created: string;
  /** When it expires, in RFC 3339; undefined if it does not. */
  expires: string | undefined;
  /** The length of the stored value in bytes. */
  size: number;
  contentType: string | undefined;
  /** Parsed JSON, a string for text, a Uint8Array for other bytes; undefined with `values=none`. */
  value: T;
}

/**
 * One difference of the Map: `entry` is there now, and `previous` was there before. One of them may
 * be undefined.
 */
export interface Change<T = unknown> {
  /** The key in the Map. */
  key: string;
  entry: Entry<T> | undefined;
  previous: Entry<T> | undefined;
}

/** Why the Map changed. `snapshot` and `reset` report all differences of one step in one call. */
export type Cause = "put" | "delete" | "purge" | "expire" | "snapshot" | "reset" | "bucket-deleted";

/**
 * - `connecting`: it has not been live yet, and has no connection
 * - `syncing`: it is connected, and a snapshot or what was missed is on its way; the Map has what
 *   was known before
 * - `live`: the Map is the bucket's state
 * - `stale`: it is connected to a gateway that has lost its source for the moment
 * - `deleted`: it is live, and the bucket (or each of several) does not exist
 * - `reconnecting`: the connection is lost; the Map has what was known
 * - `failed`: it has ended, since it was refused for a cause that does not pass
 * - `closed`: it has ended by `close()` or the signal
 */
export type Status =
  | "connecting"
  | "syncing"
  | "live"
  | "stale"
  | "deleted"
  | "reconnecting"
  | "failed"
  | "closed";

/** Details of a status. onStatus is called again with the same status if they have changed. */
export interface StatusDetail {
  /** What the gateway sent: `goaway` announces the end of the stream, `reset` a full snapshot. */
  event?: "reset" | "bucket-deleted" | "goaway";
  bucket?: string;
  /**
   * For `reset`: epoch, ahead, horizon, unknown-id, purged, filters, config. For `goaway`:
   * shutdown, max-age, auth-expiring, permissions, slow.
   */
  reason?: string;
  error?: Error;
  /** The gateway's problem document. */
  problem?: {
    type?: string;
    title?: string;
    status?: number;
    detail?: string;
    [member: string]: unknown;
  };
  /** Milliseconds until the next attempt; absent if the EventSource reconnects by itself. */
  retryIn?: number;
}

/**
 * What to keep, for example in IndexedDB, in order to begin from there next time. A structured
 * clone preserves it; JSON does not preserve bytes.
 */
export interface Saved<T = unknown> {
  lastEventId: string;
  entries: Entry<T>[];
}

export interface LiveMapOptions<T = unknown> {
  /** Called after the Map changed, never with an empty list. */
  onChange?: (changes: Change<T>[], cause: Cause) => void;
  onStatus?: (status: Status, detail: StatusDetail) => void;
  /**
   * Headers to send, such as Authorization. With them it uses fetch. A function is called before
   * every connection.
   */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
  /**
   * Makes a ticket before it connects, with these headers, such as Authorization, and another one
   * when that is used up: before it ends, and if it is refused. So the credential is in no url, and
   * an EventSource can be used. A function is called for every ticket. `url` is the address of
   * `/tickets`, if that is not beside the watch.
   */
  ticket?: {
    headers: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    url?: string | URL;
  };
  /** What save() returned earlier, for the same url. */
  saved?: Saved<T> | null;
  /** Ends it, as close() does. */
  signal?: AbortSignal;
  /** Default: globalThis.fetch. */
  fetch?: typeof fetch;
  /** Default: globalThis.EventSource. null uses fetch. */
  EventSource?: typeof EventSource | null;
  /** Whether to send cookies to another origin too. */
  withCredentials?: boolean;
  /** Milliseconds until the next attempt, unless the gateway says otherwise. Default: 3000. */
  retry?: number;
  /** The longest wait after failures, in milliseconds. Default: 30000. */
  maxRetry?: number;
  /**
   * Milliseconds of silence after which a connection counts as broken, the wait for `url` and
   * `headers` included. It doubles with each such connection, up to 16 times, until a bookmark
   * comes. Default: three heartbeats and 5 s.
   */
  idleTimeout?: number;
  /** Returns the time in milliseconds by which entries expire. Default: Date.now. */
  now?: () => number;
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
  /** Returns the entries and the id that belong together; null while a snapshot is on its way. */
  save(): Saved<T> | null;
  close(): void;
}

/** A stream was refused or broke. If `permanent`, there is no other attempt. */
export class StreamError extends Error {
  readonly status: number | undefined;
  readonly problem: StatusDetail["problem"];
  readonly retryAfter: number | undefined;
  readonly permanent: boolean;
}

/**
 * Keeps a Map equal to the state that a watch of the gateway tells.
 * @param url `/buckets/{bucket}/watch?filter=…` or `/watch?watch=a:x.>&watch=b`. A function is
 *     called before every connection.
 */
export function liveMap<T = unknown>(
  url: string | URL | (() => string | URL | Promise<string | URL>),
  options?: LiveMapOptions<T>,
): LiveMap<T>;
