/** One key's value at a revision. */
export interface Entry<T = unknown> {
  bucket: string;
  key: string;
  revision: number;
  /** The life of the bucket that the revision belongs to. `"<revision>-<epoch>"` is the ETag for If-Match. */
  epoch: string;
  /** RFC 3339. */
  created: string;
  /** RFC 3339, where the entry will expire. */
  expires: string | undefined;
  /** Bytes of the value as stored. */
  size: number;
  contentType: string | undefined;
  /** Parsed JSON, a string for text, a Uint8Array for other bytes; undefined with `values=none`. */
  value: T;
}

/** One difference of the Map: `entry` is what is there now, `previous` what was; one of them may be undefined. */
export interface Change<T = unknown> {
  /** The key in the Map. */
  key: string;
  entry: Entry<T> | undefined;
  previous: Entry<T> | undefined;
}

/** Why the Map changed. `snapshot` and `reset` report all differences of a swap in one call. */
export type Cause = "put" | "delete" | "purge" | "expire" | "snapshot" | "reset" | "bucket-deleted";

/**
 * - `connecting`: not yet live since the beginning
 * - `syncing`: connected; a snapshot or what was missed is on its way, what was known before is shown
 * - `live`: the Map is the bucket's state
 * - `stale`: connected to a gateway that lost its source for the moment
 * - `deleted`: live, and the bucket (or each of several) does not exist
 * - `reconnecting`: the connection is lost, what was known is shown
 * - `failed`: refused for a cause that does not pass; it has ended
 * - `closed`: by `close()` or the signal; it has ended
 */
export type Status = "connecting" | "syncing" | "live" | "stale" | "deleted" | "reconnecting" | "failed" | "closed";

/** More about a status. onStatus is called again with the same status where there is more to say. */
export interface StatusDetail {
  /** What the gateway said: `goaway` announces the stream's end, `reset` a full snapshot. */
  event?: "reset" | "bucket-deleted" | "goaway";
  bucket?: string;
  /** Of `reset`: epoch, ahead, horizon, unknown-id, purged, filters, config. Of `goaway`: shutdown, max-age, auth-expiring, slow. */
  reason?: string;
  error?: Error;
  /** The gateway's problem document. */
  problem?: { type?: string; title?: string; status?: number; detail?: string; [member: string]: unknown };
  /** Milliseconds to the next attempt; absent where the browser's EventSource reconnects by itself. */
  retryIn?: number;
}

/** What to keep, in IndexedDB say, to begin from there next time. Structured clone keeps it; JSON does not keep bytes. */
export interface Saved<T = unknown> {
  lastEventId: string;
  entries: Entry<T>[];
}

export interface LiveMapOptions<T = unknown> {
  /** Called after the Map changed, never with an empty list. */
  onChange?: (changes: Change<T>[], cause: Cause) => void;
  onStatus?: (status: Status, detail: StatusDetail) => void;
  /** Headers to send, Authorization say; they make it use fetch. A function is asked before every connection. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
  /** What save() returned earlier, for the same url. */
  saved?: Saved<T> | null;
  /** Closes it. */
  signal?: AbortSignal;
  /** Default: globalThis.fetch. */
  fetch?: typeof fetch;
  /** Default: globalThis.EventSource; null to use fetch. */
  EventSource?: typeof EventSource | null;
  /** Send cookies to another origin too. */
  withCredentials?: boolean;
  /** Milliseconds to the next attempt until the gateway says otherwise. Default: 3000. */
  retry?: number;
  /** The longest wait after failures, in milliseconds. Default: 30000. */
  maxRetry?: number;
  /** Silence, in milliseconds, after which a connection counts as broken, waiting for `url` and `headers` included; twice as long after each such, up to 16 times, until a bookmark comes. Default: three heartbeats and 5 s. */
  idleTimeout?: number;
  /** The time in milliseconds, for expiry. Default: Date.now. */
  now?: () => number;
}

export interface LiveMap<T = unknown> {
  /** The same Map for ever: `key` → Entry, or `bucket/key` → Entry for a url of several buckets. Read it, do not write it. */
  readonly map: ReadonlyMap<string, Entry<T>>;
  readonly status: Status;
  /** The id that the next connection goes on from. */
  readonly lastEventId: string;
  /** Resolves when the Map is live for the first time; rejects when it ended before. */
  readonly ready: Promise<void>;
  /** The Map and the id that belong together; null while a snapshot is on its way. */
  save(): Saved<T> | null;
  close(): void;
}

/** A refused or broken stream. `permanent` ones are not tried again. */
export class StreamError extends Error {
  readonly status: number | undefined;
  readonly problem: StatusDetail["problem"];
  readonly retryAfter: number | undefined;
  readonly permanent: boolean;
}

/**
 * Keeps a Map true to what a watch of the gateway tells.
 * @param url `/buckets/{bucket}/watch?filter=…` or `/watch?watch=a:x.>&watch=b`. A function is asked before every connection.
 */
export function liveMap<T = unknown>(
  url: string | URL | (() => string | URL | Promise<string | URL>),
  options?: LiveMapOptions<T>,
): LiveMap<T>;
