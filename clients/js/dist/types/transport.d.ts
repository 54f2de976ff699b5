import { Connection, type ConnectionOptions } from "./connection.js";
import { type TicketSource } from "./tickets.js";
export interface TransportOptions {
    /**
     * Headers to send, such as Authorization. With them it uses fetch. A function is called before
     * every connection.
     */
    headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined;
    /**
     * Gets a ticket before it connects, and another one when that is used up: before it ends, and if
     * it is refused. So the credential is in no url, and an EventSource can be used.
     */
    ticket?: TicketSource | undefined;
    /** Ends it, as close() does. */
    signal?: AbortSignal | undefined;
    /** Default: globalThis.fetch. */
    fetch?: typeof fetch | undefined;
    /** Default: globalThis.EventSource. null uses fetch. */
    EventSource?: typeof EventSource | null | undefined;
    /** Whether to send cookies to another origin too. */
    withCredentials?: boolean | undefined;
    /** Milliseconds until the next attempt, unless the gateway says otherwise. Default: 3000. */
    retry?: number | undefined;
    /** The longest wait after failures, in milliseconds. Default: 30000. */
    maxRetry?: number | undefined;
    /**
     * Milliseconds of silence after which a connection counts as broken, the wait for `url` and
     * `headers` included. It doubles with each such connection, up to 16 times, until a bookmark
     * comes. Default: three heartbeats and 5 s.
     */
    idleTimeout?: number | undefined;
    /** Returns the time in milliseconds by which entries expire. Default: Date.now. */
    now?: (() => number) | undefined;
}
/** The address of a watch. A function is called before every connection. */
export type WatchURL = string | URL | (() => string | URL | Promise<string | URL>);
/** What a stream calls, beside what concerns its transport. */
export type Hooks = Pick<ConnectionOptions, "onConnecting" | "onEvent" | "onOpen" | "onDown" | "drained">;
/** One stream with its tickets. */
export declare class Transport {
    #private;
    readonly connection: Connection;
    /** @param begun is given each url that a function returned, before a ticket is added to it */
    constructor(url: WatchURL, options: TransportOptions & {
        lastEventId?: string | undefined;
    }, begun: (url: URL) => void, hooks: Hooks);
    /**
     * Takes the announcement that the stream will end. The next connection needs another ticket. One
     * whose time is over soon is replaced before.
     */
    goAway(reason: string): void;
}
