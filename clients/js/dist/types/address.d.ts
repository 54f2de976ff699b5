/** Addresses: of the gateway, of buckets and keys, of a position, and of a ticket's watches. */
/** Where something stands: a revision of one life of a bucket. */
export interface Position {
    readonly revision: number;
    /** The life of the bucket that the revision belongs to. */
    readonly epoch: string;
}
/** Resolves an address against the page's, where there is a page. */
export declare function absolute(address: string | URL): URL;
/** Adds parameters to a url; those that are undefined are left out, and a list is repeated. */
export declare function withQuery(url: URL, query?: Record<string, unknown>): URL;
/** The path of a bucket, relative to the gateway's address. */
export declare function bucketPath(bucket: string): string;
/**
 * The path of a key below `keys`, `entries` or `history`. A browser would resolve the segments "."
 * and ".." of a URL, so a key that is one of these goes into the query, and the gateway refuses it.
 */
export declare const keyPath: (key: string) => string;
/** An entity tag. A text and a number are taken as they are, as `"*"` and `42` are. */
export declare const tagOf: (tag: string | number | Position | undefined) => string | undefined;
/** What a stream follows, as POST /tickets takes it: `<bucket>:<filter>`, or `<bucket>`. */
export declare function watchesOf(url: URL): string[];
/** The epoch in the id of a stream, "" if there is none. `bucket` chooses one of several. */
export declare const epochOf: (id: string, bucket: string) => string;
/**
 * Reports whether one position is at or after another. An epoch is the time in microseconds at
 * which the bucket was created, in base 36, so a later life of the bucket is after an earlier one.
 */
export declare function reaches(at: Position, other: Position): boolean;
/** Milliseconds of a Go duration, such as "1m30s". */
export declare function milliseconds(duration: string): number;
/** A Go duration. A number is of milliseconds. */
export declare const durationOf: (time: string | number | undefined) => string | undefined;
