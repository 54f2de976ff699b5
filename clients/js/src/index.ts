export { createClient, Client } from "./client.js";
export type { CreateClientOptions } from "./client.js";
export { Bucket } from "./bucket.js";
export type {
  BucketOptions, Condition, DeleteOptions, EntriesOptions, EntryPage, KeyPage, ListOptions,
  PutOptions, ReadOptions, WriteOptions, Written,
} from "./bucket.js";
export { BucketMap, Conflict } from "./bucket-map.js";
export type { BucketMapOptions } from "./bucket-map.js";
export type { StreamOptions, WatchURL } from "./connection.js";
export type { Entry, Issue, Revision } from "./entry.js";
export { liveMap } from "./live-map.js";
export type {
  Cause, LiveMap, LiveMapOptions, Saved, Snapshot, Status, StatusDetail,
} from "./live-map.js";
export { Problem, StreamError } from "./problem.js";
export type { GatewayCode, ProblemCode, ProblemDocument } from "./problem.js";
export type { RequestOptions } from "./request.js";
export type { Change } from "./state.js";
export type { Ticket, TicketSource } from "./tickets.js";
export type { Operation, Transacted } from "./transaction.js";
export { InvalidValue } from "./value.js";
export type { Schema, Validation } from "./value.js";
export type { WatchEvent, WatchOptions, WatchQuery } from "./watch.js";
