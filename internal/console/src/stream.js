/** Streams of changes, which go on when the gateway is back. */
import { useEffect, useRef } from "preact/hooks";
import { bucketOf, may } from "./api.js";
import { useSession } from "./ui.jsx";

/** Why a stream begins anew or ends, in words. */
export const REASONS = {
  epoch: "the bucket was deleted and created again",
  ahead: "the resume id is ahead of the bucket, which has lost its end or is another one",
  horizon: "the resume id is older than what the gateway can vouch for",
  "unknown-id": "the gateway does not know the resume id",
  purged: "another tool has removed entries without a trace",
  filters: "the resume id belongs to other filters or rights",
  config: "the bucket's settings have changed",
  reverted: "a key has an older value than the one that was reported",
  shutdown: "the gateway shuts down; the stream goes on by itself",
  "max-age": "streams end after a while; it goes on by itself",
  "auth-expiring": "the credential ends",
  permissions: "the rights have changed",
  slow: "this page reads too slowly",
};

export const CHANGES = ["put", "delete", "purge", "expire"];

/**
 * Calls `take` with each event of a bucket, and `fail` if the stream cannot go on. `query` is of the
 * client's watch. When the gateway is back, the stream goes on at once after the last event.
 */
export function useStream(bucket, query, take, fail) {
  const { round } = useSession();
  const calls = useRef();
  calls.current = { take, fail };
  const name = JSON.stringify([bucket, query]);
  const last = useRef({});
  useEffect(() => {
    if (!query || !may("watch", bucket)) return undefined;
    if (last.current.name !== name) last.current = { name, id: query.after };
    const ended = new AbortController();
    (async () => {
      const events = bucketOf(bucket, { values: "none" })
        .watch({ ...query, after: last.current.id, signal: ended.signal });
      for await (const event of events) {
        if (ended.signal.aborted) return;
        if (event.id) last.current.id = event.id;
        calls.current.take(event);
      }
    })().catch((error) => { if (!ended.signal.aborted) calls.current.fail?.(error); });
    return () => ended.abort();
  }, [name, round]);
}
