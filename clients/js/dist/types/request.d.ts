/** How a client reaches the gateway. */
export interface ClientOptions {
    /** The address of the gateway, with its base path if it has one. */
    url: string | URL;
    /** A bearer token. A function is called for each request. */
    token?: string | (() => string | Promise<string>) | undefined;
    /** Headers of each request, instead of a token. A function is called for each request. */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined;
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
export declare const sleep: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
/** A key for Idempotency-Key that no other request has. */
export declare const newKey: () => string;
/** Returns a function that makes the headers with the client's credential. */
export declare function credential(options: ClientOptions): (() => Promise<Headers>) | undefined;
/** Makes the function with which a client sends its requests. */
export declare function sender(options: ClientOptions): Send;
