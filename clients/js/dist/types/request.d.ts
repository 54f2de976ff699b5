import { Problem } from "./problem.js";
/** Headers, or a function that is called for each request. */
export type HeadersSource = HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
/** How a client reaches the gateway. */
export interface ClientOptions {
    /** The address of the gateway, with its base path if it has one. */
    url: string | URL;
    /** A bearer token. A function is called for each request. */
    token?: string | (() => string | Promise<string>) | undefined;
    /** Headers of each request, instead of a token. A function is called for each request. */
    headers?: HeadersSource | undefined;
    /** Default: globalThis.fetch. */
    fetch?: typeof fetch | undefined;
    /** Whether to send cookies to another origin too. */
    withCredentials?: boolean | undefined;
    /** After how many milliseconds without an answer a request is given up. Default: 30000. */
    timeout?: number | undefined;
    /** How often a request is sent again where that is safe. Default: 3. */
    retries?: number | undefined;
}
/** One request, relative to the gateway's address. */
export interface RequestOptions {
    /** Parameters; those that are undefined are left out, and each of a list is given. */
    query?: Record<string, unknown> | undefined;
    headers?: Record<string, string | undefined> | undefined;
    body?: BodyInit | undefined;
    /** Gives the request up. A change may have been made all the same. */
    signal?: AbortSignal | undefined;
    timeout?: number | undefined;
    /** How often it is sent again where that is safe; Infinity: until there is an answer. */
    retries?: number | undefined;
}
/** Sends a request until it has a result, and reads the answer. */
export type Send = <R>(method: string, path: string, options: RequestOptions, read: (response: Response) => Promise<R> | R) => Promise<R>;
/** Waits, unless the signal ends it. */
export declare function sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
/** Calls a function once a signal is aborted, until the result is called. */
export declare function onAbort(signal: AbortSignal | undefined, act: () => void): () => void;
/** A key for Idempotency-Key that no other request has. */
export declare const newKey: () => string;
/** Returns a value, or what a function in its place returns. */
export declare const given: <V>(source: V | (() => V | Promise<V>)) => Promise<V>;
/** Makes headers of what a page gave, and of those of `more` that are defined. */
export declare function headersOf(source: HeadersSource | undefined, more?: Record<string, string | undefined>): Promise<Headers>;
/** Returns a function that makes the headers with the client's credential. */
export declare const credential: ({ token, headers }: ClientOptions) => (() => Promise<Headers>);
/** Sends one request, whose answer no cache has. Rejects with an error of a kind if refused. */
export declare function request({ fetch, withCredentials }: Pick<ClientOptions, "fetch" | "withCredentials">, url: URL, init: RequestInit, Kind: typeof Problem): Promise<Response>;
/** Makes the function with which a client sends its requests. */
export declare function sender(base: URL, options: ClientOptions): Send;
