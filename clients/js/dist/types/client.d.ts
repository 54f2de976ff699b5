import { Bucket, type BucketOptions } from "./bucket.js";
import type { StreamOptions } from "./connection.js";
import { type ClientOptions, type RequestOptions } from "./request.js";
import type { TicketSource } from "./tickets.js";
/** How a client reaches the gateway, and who it is. */
export interface CreateClientOptions extends ClientOptions {
    /**
     * `true` opens streams with tickets, which the client makes with its token or headers. Else where
     * tickets for streams come from: a function that gets one from the page's own server, or one.
     * Without it, streams have the token or the headers.
     */
    ticket?: true | Exclude<TicketSource, {
        headers: unknown;
    }> | undefined;
    /** How streams are opened and kept. */
    stream?: Pick<StreamOptions, "retry" | "maxRetry" | "idleTimeout" | "now"> | undefined;
}
export declare class Client {
    #private;
    /** The gateway's address; its path ends with a slash. */
    readonly url: URL;
    /** A bucket, which need not exist yet. */
    bucket<T = unknown>(name: string, options?: BucketOptions<T>): Bucket<T>;
    /**
     * Makes a request of the contract that the client has no method for, relative to the gateway's
     * address, and returns the answer as it comes. Rejects with a {@link Problem} if it is refused.
     */
    request(method: string, path: string, options?: RequestOptions): Promise<Response>;
}
/** Makes a client of the gateway at an address. */
export declare const createClient: (options: CreateClientOptions) => Client;
