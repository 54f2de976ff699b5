import { type HeadersSource } from "./request.js";
import { type ServerSentEvent } from "./sse.js";
import { type TicketSource } from "./tickets.js";
/** How a stream is opened, and kept. */
export interface StreamOptions {
    /** Headers to send, such as Authorization. A function is called before every connection. */
    headers?: HeadersSource | undefined;
    /**
     * Gets a ticket before it connects, and another one when that is used up: before it ends, and if
     * it is refused. So no stream has the credential itself.
     */
    ticket?: TicketSource | undefined;
    /** Ends it, as close() does. */
    signal?: AbortSignal | undefined;
    /** Default: globalThis.fetch. */
    fetch?: typeof fetch | undefined;
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
/** What a connection calls, and what it asks for. */
export interface Hooks {
    /** Parameters of a url that has no others of these names, if the gateway knows them. */
    _wanted?: Record<string, string>;
    /** Each url that was given, before a ticket is added to it. */
    _begun?: (url: URL) => void;
    _connecting?: (lastEventId: string) => void;
    _event: (event: ServerSentEvent) => void;
    _open?: () => void;
    /** Without retryIn there is no other attempt. */
    _down: (error: Error, retryIn?: number) => void;
    /** Nothing more is read before what it returns has resolved. */
    _drained?: () => Promise<void> | undefined;
}
/** The longest time of a timer, in milliseconds. A longer one would fire at once. */
export declare const LONGEST_TIMEOUT: number;
export declare class Connection {
    #private;
    /** The id to resume at, "" before the first. */
    _lastEventId: string;
    constructor(url: WatchURL, options: StreamOptions, hooks: Hooks, lastEventId?: string);
    _connect(): Promise<void>;
    _close(): void;
    /** Connects anew without the last event id, so that everything is sent again. */
    _restart(): void;
    /**
     * Takes the announcement that the stream will end. The next connection needs another ticket. One
     * whose time is over soon is replaced before.
     */
    _goAway(reason: string): void;
    /** Whether nothing was heard for so long that the connection counts as broken. */
    get _isOverdue(): boolean;
}
