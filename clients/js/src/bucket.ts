/** A bucket: reads, writes, lists and transactions of its keys. */
import {
  bucketPath, durationOf, keyPath, tagOf, withQuery, type Position,
} from "./address.js";
import { BucketMap, type BucketMapOptions } from "./bucket-map.js";
import type { Client } from "./client.js";
import { entryOf, revisionOf, type Entry, type Revision, type WireEntry } from "./entry.js";
import { hasCode, refusalIn, type Problem } from "./problem.js";
import { newKey, sleep, type RequestOptions } from "./request.js";
import { wireOf, type Operation, type Transacted } from "./transaction.js";
import {
  InvalidValue, check, decodeBy, encode, keepsType, type Decode, type Schema,
} from "./value.js";
import { watch, type WatchEvent, type WatchOptions } from "./watch.js";

export interface BucketOptions<T> {
  /**
   * What values are: `put` stores what the schema makes of a value, and what it makes of a stored
   * value is what is read. So it must take what it gives.
   */
  schema?: Schema<unknown, T> | undefined;
  /** `base64` gives each value as the bytes that are stored, `none` leaves values out. */
  values?: "json" | "base64" | "none" | undefined;
}

interface Abortable {
  signal?: AbortSignal | undefined;
}

export interface ReadOptions extends Abortable {
  /** Reads this revision of the key. */
  revision?: number | undefined;
  consistency?: "leader" | "any" | "cached" | undefined;
  /** Never answers from a state older than this. */
  minRevision?: number | Position | undefined;
}

/** The condition of a write, which is one request that is stored or refused. */
export interface Condition {
  /** Only if the key is at this revision: an entry, what a write answered, a number or a tag. */
  ifMatch?: string | number | Position | undefined;
  /** `"*"`: only if the key has no value. Else: unless the key is at this revision. */
  ifNoneMatch?: string | number | Position | undefined;
}

export interface WriteOptions extends Condition, Abortable {
  /** How long the entry is to live: milliseconds, or a Go duration such as "1h30m". */
  ttl?: number | string | undefined;
  /**
   * With it a write whose answer was lost is sent again, and stored once. A write with a condition
   * has one of its own, unless this is `false`.
   */
  idempotencyKey?: string | false | undefined;
}

export interface PutOptions extends WriteOptions {
  contentType?: string | undefined;
}

export interface DeleteOptions extends WriteOptions {
  /** Removes the earlier revisions, too. */
  purge?: boolean | undefined;
}

/** What a write made. */
export interface Written extends Position {
  readonly bucket: string;
  readonly key: string;
}

export interface ListOptions extends Abortable {
  /** NATS subject filters, such as `orders.>`; a key must match one of them. */
  filter?: string | string[] | undefined;
  prefix?: string | undefined;
  /** How many there are in a page. */
  limit?: number | undefined;
  /** `next` of an earlier page with the same options. */
  cursor?: string | undefined;
}

export interface KeyPage {
  readonly keys: string[];
  /** With a delimiter: what is folded. */
  readonly prefixes?: string[];
  readonly revision: number;
  /** How many keys are left out, since no key can have their names here. */
  readonly hidden: number;
  readonly next?: string;
}

export interface EntriesOptions extends ListOptions {
  /** These keys; those that have no value are left out. */
  key?: string[] | undefined;
}

export interface EntryPage<T> {
  readonly entries: Entry<T>[];
  readonly revision: number;
  /** Whether all of the page was read at one instant. */
  readonly snapshot: boolean;
  readonly hidden: number;
  readonly next?: string;
}

/** How often `update` tries. Of many writers of a key one is stored each time. */
const MOST_UPDATES = 30;

/** Whether a write was refused because of what is stored. */
export const isMismatch = (error: unknown): error is Problem =>
  hasCode(error, "revision-mismatch", "key-exists");

function orMissing(error: unknown): undefined {
  if (!hasCode(error, "key-not-found", "key-deleted")) throw error;
}

export class Bucket<T = unknown> {
  readonly name: string;
  /** @internal */ readonly _options: BucketOptions<T>;
  /** @internal */ readonly _decode: Decode<T>;
  /** @internal */ readonly _client: Client;
  #path: string;

  /** @internal */
  constructor(client: Client, name: string, options: BucketOptions<T>) {
    this.name = name;
    this._client = client;
    this._options = options;
    this._decode = decodeBy(options.schema);
    this.#path = `${bucketPath(name)}/`;
  }

  #json<R>(method: string, path: string, options: RequestOptions): Promise<R> {
    return this._client._json(method, this.#path + path, options);
  }

  /** Reads a key; undefined if it has no value. */
  async get(key: string, options: ReadOptions = {}): Promise<Entry<T> | undefined> {
    const { revision, consistency, minRevision, signal } = options;
    const min_revision = tagOf(minRevision);
    const query = { values: this._options.values, revision, consistency, min_revision };
    const path = `entries/${keyPath(key)}`;
    const data = await this.#json<WireEntry>("GET", path, { query, signal }).catch(orMissing);
    const entry = data && entryOf(data, this._decode);
    if (entry?.issues) throw new InvalidValue(entry.issues);
    return entry;
  }

  /**
   * Stores a value. Bytes and Blobs are stored as they are, a string as text, and anything else, or
   * with a `contentType` of JSON, as JSON.
   */
  async put(key: string, value: T, options: PutOptions = {}): Promise<Written> {
    const { body, contentType } = encode(
      check(this._options.schema, value),
      options.contentType,
    );
    return this.#write("PUT", key, options, body, contentType);
  }

  /**
   * Reads a key, gives its value to a function, and stores what that returns, unless it returns
   * undefined. If somebody else has written meanwhile, it begins again. The media type stays if it
   * fits the new value; as with `put`, there is no time to live unless `ttl` is given.
   */
  async update(
    key: string,
    change: (
      value: T | undefined,
      entry: Entry<T> | undefined,
    ) => T | undefined | Promise<T | undefined>,
    options: Omit<PutOptions, keyof Condition | "idempotencyKey"> = {},
  ): Promise<Written | undefined> {
    for (let attempt = 1; ; attempt++) {
      const entry = await this.get(key, { signal: options.signal });
      const next = await change(entry?.value, entry);
      if (next === undefined) return undefined;
      const condition = entry ? { ifMatch: entry } : { ifNoneMatch: "*" };
      const contentType = keepsType(next, entry?.contentType);
      try {
        return await this.put(key, next, { contentType, ...options, ...condition });
      } catch (error) {
        if (!isMismatch(error) || attempt === MOST_UPDATES) throw error;
      }
      await sleep(Math.random() * 10 * attempt, options.signal);
    }
  }

  /**
   * Changes a JSON value where it is: by a JSON Merge Patch, which is an object, or a JSON Patch,
   * which is a list of operations. Undefined changes the time to live only.
   */
  patch(key: string, patch: unknown, options: WriteOptions = {}): Promise<Written> {
    const kind = Array.isArray(patch) ? "json" : "merge";
    const type = patch === undefined ? undefined : `application/${kind}-patch+json`;
    const body = type && JSON.stringify(patch);
    return this.#write("PATCH", key, options, body, type);
  }

  /** Deletes a key, and leaves a marker; undefined if it had no value. */
  delete(key: string, options: DeleteOptions = {}): Promise<Written | undefined> {
    return this.#write("DELETE", key, options).catch(orMissing);
  }

  #write(
    method: string,
    key: string,
    options: DeleteOptions & { _retries?: number },
    body?: BodyInit,
    contentType?: string,
  ): Promise<Written> {
    const { ifMatch, ifNoneMatch, ttl, purge, signal } = options;
    const isConditional = ifMatch !== undefined || ifNoneMatch !== undefined;
    const idempotencyKey = options.idempotencyKey ?? (isConditional && newKey());
    return this.#json(method, `keys/${keyPath(key)}`, {
      query: { purge, ttl: durationOf(ttl) },
      headers: {
        "Content-Type": contentType,
        "If-Match": tagOf(ifMatch),
        "If-None-Match": tagOf(ifNoneMatch),
        "Idempotency-Key": idempotencyKey ? JSON.stringify(idempotencyKey) : undefined,
      },
      body,
      signal,
      retries: options._retries,
    });
  }

  /** The names of keys, a page at a time. A delimiter folds what follows it into `prefixes`. */
  list(options: ListOptions & { delimiter?: string } = {}): AsyncGenerator<KeyPage, void> {
    return this.#pages<KeyPage>("keys", { ...options });
  }

  /** The entries of keys, a page at a time. */
  async *entries(options: EntriesOptions = {}): AsyncGenerator<EntryPage<T>, void> {
    const { values } = this._options;
    for await (const page of this.#pages<EntryPage<T>>("entries", { values, ...options })) {
      const entries = page.entries.map((data) =>
        entryOf(data as unknown as WireEntry, this._decode),
      );
      yield { ...page, entries };
    }
  }

  async *#pages<P extends { next?: string }>(
    path: string,
    { signal, ...query }: ListOptions & Record<string, unknown>,
  ): AsyncGenerator<P, void> {
    let { cursor } = query;
    do {
      const page = await this.#json<P>("GET", path, { query: { ...query, cursor }, signal });
      cursor = page.next;
      yield page;
    } while (cursor);
  }

  /** The revisions of a key that are kept, oldest first, with its markers. */
  async history(key: string, { signal }: Abortable = {}): Promise<Revision<T>[]> {
    const query = { values: this._options.values };
    const path = `history/${keyPath(key)}`;
    const { entries } = await this.#json<{ entries: WireEntry[] }>("GET", path, { query, signal });
    return entries.map((data) => revisionOf(data, this._decode));
  }

  /** Carries out all operations at one instant, or none. */
  async transact(
    operations: Operation<T>[],
    { signal, idempotencyKey = newKey() }: Abortable & { idempotencyKey?: string } = {},
  ): Promise<Transacted> {
    return this.#json<Transacted>("POST", "transactions", {
      headers: {
        "Content-Type": "application/json",
        "Idempotency-Key": JSON.stringify(idempotencyKey),
      },
      body: JSON.stringify({
        operations: operations.map((operation) => wireOf(operation, this._options.schema)),
      }),
      signal,
    }).catch((error) => {
      // It is answered so if the answer to an earlier attempt of the same transaction was lost.
      const cause = refusalIn(error);
      if (!hasCode(cause, "already-applied") || !cause.problem?.results) throw error;
      return cause.problem as unknown as Transacted;
    });
  }

  /**
   * The changes of keys as they come, through reconnects: first the state, then `sync`, then each
   * change. The stream is not read further than what is taken.
   */
  watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent<T>, void> {
    return watch(this, options);
  }

  /** The address of a stream of this bucket. @internal */
  _watch(options: WatchOptions & { digest?: boolean | undefined }): URL {
    return withQuery(new URL(`${this.#path}watch`, this._client.url), {
      values: this._options.values,
      filter: options.filter,
      heartbeat: options.heartbeat,
      removals: options.removals,
      digest: options.digest,
      updates_only: options.updatesOnly,
      include_history: options.includeHistory,
      ignore_deletes: options.ignoreDeletes,
    });
  }

  /** Keeps a Map equal to the bucket, or to what filters select, and shows writes at once. */
  liveMap(options: BucketMapOptions<T> = {}): BucketMap<T> {
    return new BucketMap(this, options);
  }
}
