/**
 * Keeps one event stream connected, by EventSource or by fetch. Each connection resumes at the last
 * event id of the one before.
 */
import { StreamError } from "./problem.js";
import { type ServerSentEvent } from "./sse.js";
/** The longest time of a timer, in milliseconds. A longer one would fire at once. */
export declare const LONGEST_TIMEOUT: number;
/** What a connection needs, and what it calls. */
export interface ConnectionOptions {
    /** Called before every connection, unless it is a text. */
    url: string | (() => string | Promise<string>);
    /** null uses fetch. */
    EventSource: typeof EventSource | null;
    fetch: typeof fetch;
    /** Called before every connection. */
    headers?: (() => HeadersInit | undefined | Promise<HeadersInit | undefined>) | undefined;
    withCredentials: boolean;
    /** Milliseconds to wait, until the gateway says otherwise. */
    retry: number;
    maxRetry: number;
    /** Returns after how many milliseconds of silence a connection counts as broken. */
    idleTimeout: () => number;
    lastEventId: string;
    now: () => number;
    onConnecting: (lastEventId: string) => void;
    onEvent: (event: ServerSentEvent) => void;
    onOpen: () => void;
    /** Without retryIn the EventSource reconnects by itself, or nothing does. */
    onDown: (error: Error, retryIn?: number) => void;
    /** Whether to try again after a refusal that would be final else. */
    mayRetry?: (error: StreamError) => boolean;
    /** By fetch, nothing more is read before what it returns has resolved. */
    drained?: () => Promise<void> | undefined;
}
export declare class Connection {
    #private;
    /** The id to resume at, "" before the first. */
    lastEventId: string;
    constructor(options: ConnectionOptions);
    connect(): Promise<void>;
    close(): void;
    /** Connects anew within some milliseconds, and keeps the connection that there is until then. */
    renew(within: number): void;
    /** Connects anew without the last event id, so that everything is sent again. */
    restart(): void;
    /** Whether nothing was heard for so long that the connection counts as broken. */
    get isOverdue(): boolean;
}
