/**
 * The wire format of Server-Sent Events (HTML Standard, §9.2.6).
 */
/** One event, as an EventSource would dispatch it. */
export interface ServerSentEvent {
    /** The `event:` field, "message" where there is none. */
    type: string;
    /** The `data:` lines, joined with line feeds. */
    data: string;
    /** The last event id once this event has been taken. */
    id: string;
}
/** What a parser calls as a stream comes in. */
export interface EventStreamCallbacks {
    _event: (event: ServerSentEvent) => void;
    /** The server's `retry:` field. */
    _retry?: (milliseconds: number) => void;
}
/**
 * Parses one response body in chunks that may end anywhere: in the middle of a character, of a
 * CRLF, or of a field. A block that the end of the stream cuts off is dropped, and its id too, so
 * that the next connection requests it again.
 */
export declare class EventStreamParser {
    #private;
    /** The id to send with the next request. A block without data changes it as well: a bookmark. */
    _lastEventId: string;
    /**
     * @param lastEventId the id that was sent with the request; it is valid until the stream names
     *     another
     */
    constructor(callbacks: EventStreamCallbacks, lastEventId?: string);
    _push(chunk: Uint8Array): void;
}
