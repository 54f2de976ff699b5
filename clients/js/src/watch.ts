/** The changes of a bucket as an async iterator. */
import type { Bucket } from "./bucket.js";
import { Connection } from "./connection.js";
import { revisionOf, type Entry, type Revision, type WireEntry } from "./entry.js";
import { problemOf, type ProblemDocument } from "./problem.js";
import { onAbort } from "./request.js";

/** What a watch selects, and what it gives. */
export interface WatchQuery {
  /** NATS subject filters, such as `orders.>`; a key must match one of them. */
  filter?: string | string[] | undefined;
  /** How often the gateway says that it is there, as a Go duration. Default: 15s. */
  heartbeat?: string | undefined;
  /**
   * With `event`, keys that are gone without a marker are told as `removed`, where the gateway can;
   * else it begins anew with a `reset`. A live map asks for it by itself.
   */
  removals?: "event" | undefined;
}

export interface WatchOptions extends WatchQuery {
  /** The id of an event, after which it goes on. */
  after?: string | undefined;
  /** Only what changes from now on. */
  updatesOnly?: boolean | undefined;
  /** All revisions that are kept of each key, not only the last one. */
  includeHistory?: boolean | undefined;
  ignoreDeletes?: boolean | undefined;
  signal?: AbortSignal | undefined;
}

/** What every event has: the id after which a watch goes on. */
interface Identified {
  readonly id: string;
}

/** One event of a watch. */
export type WatchEvent<T = unknown> = Identified &
  (
    | ({ readonly event: "put" } & Entry<T>)
    | ({ readonly event: "delete" | "purge" | "expire" } & Omit<Revision<T>, "value">)
    | {
        /** `exact`: what came, folded, is the bucket's state at the revision. */
        readonly event: "sync" | "bookmark";
        readonly revision: number;
        readonly exact: boolean;
        readonly keys?: number;
      }
    | { readonly event: "reset" | "goaway"; readonly reason: string }
    | { readonly event: "removed"; readonly removed: { key: string; revision: number }[] }
    | { readonly event: "stale" | "live" | "bucket-deleted" }
  );

/** So many events may wait to be taken before no more is read. */
const MOST_WAITING = 256;

const CHANGES = ["put", "delete", "purge", "expire"];

export async function* watch<T>(
  bucket: Bucket<T>,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>, void> {
  const { signal } = options;
  signal?.throwIfAborted();
  let waiting: WatchEvent<T>[] = [];
  let failure: unknown;
  let [wake, resume] = [() => {}, () => {}];
  const url = bucket._watch(options);
  const end = (error: unknown) => {
    failure = error;
    wake();
  };
  const connection = new Connection(
    url,
    bucket._client._stream,
    {
      _event({ type: event, data: text, id }) {
        const data = JSON.parse(text);
        if (event === "problem") throw problemOf(data as ProblemDocument);
        if (event === "goaway") connection._goAway(data.reason);
        const told = CHANGES.includes(event)
          ? revisionOf(data as WireEntry, bucket._decode)
          : data;
        waiting.push({ event, id, ...told });
        wake();
      },
      _down(error, retryIn) {
        if (retryIn === undefined) end(error);
      },
      _drained: () =>
        waiting.length < MOST_WAITING ? undefined : new Promise<void>((done) => (resume = done)),
    },
    options.after,
  );
  const leaveSignal = onAbort(signal, () => end(signal!.reason));
  try {
    connection._connect();
    for (;;) {
      signal?.throwIfAborted();
      const taken = waiting;
      waiting = [];
      yield* taken;
      resume();
      if (waiting.length > 0) continue;
      if (failure !== undefined) throw failure;
      await new Promise<void>((done) => (wake = done));
    }
  } finally {
    leaveSignal();
    connection._close();
    resume();
  }
}
