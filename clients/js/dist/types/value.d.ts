/** Values: how they are stored, how they are read, and what a schema says of them. */
import type { Issue, WireEntry } from "./entry.js";
import { Problem } from "./problem.js";
/**
 * A schema of any library that follows Standard Schema (https://standardschema.dev), such as Zod,
 * Valibot or ArkType.
 */
export interface Schema<Input = unknown, Output = Input> {
    readonly "~standard": {
        readonly version: 1;
        readonly vendor: string;
        readonly validate: (value: unknown) => Validation<Output> | Promise<Validation<Output>>;
        readonly types?: {
            readonly input: Input;
            readonly output: Output;
        } | undefined;
    };
}
/** What a schema says of a value. */
export type Validation<T> = {
    readonly value: T;
    readonly issues?: undefined;
} | {
    readonly issues: readonly Issue[];
};
/** Reads the value of an entry. */
export type Decode<T> = (data: WireEntry) => {
    value: T;
    issues?: readonly Issue[] | undefined;
};
/** Makes a Decode. What the schema makes of a value is the value, unless it does not match. */
export declare const decodeBy: <T>(schema?: Schema<unknown, T>) => Decode<T>;
/** Returns what the schema makes of a value that is to be stored. */
export declare function check<T>(schema: Schema<unknown, T> | undefined, value: T): T;
/** A value does not match the schema of its bucket. Its code is `invalid-value`. */
export declare class InvalidValue extends Problem {
    readonly issues: readonly Issue[];
    name: string;
    constructor(issues: readonly Issue[]);
}
/** Returns the media type of an entry if another value can be stored with it. */
export declare const keepsType: (value: unknown, contentType: string | undefined) => string | undefined;
/** The body of a value, and its media type; undefined if it has none. */
export interface Encoded {
    body: string | Blob | BufferSource;
    contentType: string | undefined;
}
/**
 * Makes the body of a value. Bytes and Blobs are stored as they are. Else, if the media type is one
 * of JSON, or the value is not a string, it is stored as JSON. A string is stored as text.
 */
export declare function encode(value: unknown, contentType?: string): Encoded;
