/** Entries: what the gateway sends of a key, and what a page sees of it. */
import type { Position } from "./address.js";
import type { Decode } from "./value.js";
/** One key's value at a revision. */
export interface Entry<T = unknown> extends Position {
    readonly bucket: string;
    readonly key: string;
    readonly revision: number;
    /** The life of the bucket that the revision belongs to. `"<revision>-<epoch>"` is an ETag. */
    readonly epoch: string;
    /** When it was stored, in RFC 3339. */
    readonly created: string;
    /** When it expires, in RFC 3339; undefined if it does not. */
    readonly expires: string | undefined;
    /** The length of the stored value in bytes. */
    readonly size: number;
    readonly contentType: string | undefined;
    /** Parsed JSON, a string for text, a Uint8Array for other bytes; undefined with `values=none`. */
    readonly value: T;
    /** Absent if the value was stored without one. Nothing interprets it. */
    readonly contentEncoding?: string;
    /** The transaction that stored it, and how many of its operations came before. */
    readonly transaction?: {
        id: string;
        index: number;
        last?: boolean;
    };
    /** Why the value does not match the bucket's schema; absent if it does. */
    readonly issues?: readonly Issue[];
    /**
     * Of a live map: true while a change of this page is shown that its stream has not brought yet.
     * Until the gateway has answered, `revision` and `epoch` are those that the change replaces, 0
     * and "" if it replaces nothing.
     */
    readonly pending?: true;
}
/** A revision of a key: an entry, or a marker that says that there is no value. */
export interface Revision<T = unknown> extends Omit<Entry<T>, "value"> {
    /** `expire` is a marker that the server wrote because of age. */
    readonly operation: "put" | "delete" | "purge" | "expire";
    /** Undefined for a marker. */
    readonly value: T | undefined;
}
/** What a schema says of a value that does not match it. */
export interface Issue {
    readonly message: string;
    readonly path?: readonly (PropertyKey | {
        readonly key: PropertyKey;
    })[] | undefined;
}
/** An entry as the gateway sends it: in an answer, and as the data of an event. */
export interface WireEntry {
    bucket: string;
    key: string;
    revision: number;
    epoch: string;
    operation?: Revision["operation"];
    created: string;
    expires?: string;
    size: number;
    content_type?: string;
    content_encoding?: string;
    transaction?: Entry["transaction"];
    /** The value is in one of these, or absent. */
    value?: unknown;
    text?: string;
    base64?: string;
}
/** Makes an entry of what the gateway sent. */
export declare function entryOf<T>(data: WireEntry, decode: Decode<T>): Entry<T>;
/** Makes a revision of what the gateway sent. A marker has no value to decode. */
export declare const revisionOf: <T>(data: WireEntry, decode: Decode<T>) => Revision<T>;
/** Reports whether two entries are of the same revision. */
export declare const sameRevision: (a: Entry, b: Entry | undefined) => boolean;
/** When an entry or a ticket expires, in milliseconds since 1970; Infinity if it does not. */
export declare const expiryOf: ({ expires }: {
    expires?: string | undefined;
}) => number;
