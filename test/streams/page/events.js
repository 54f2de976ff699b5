/** The names that the events of a stream can have. */
export const EVENTS = [
  "put", "delete", "purge", "expire", "sync", "reset", "removed", "bookmark", "stale", "live",
  "bucket-deleted", "goaway", "problem",
];
