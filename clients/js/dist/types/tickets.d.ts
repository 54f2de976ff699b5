/**
 * Tickets for streams. A browser's EventSource cannot send a header, and a credential must not
 * stand in a URL. So the credential is sent to POST /tickets, and its answer stands in the URL: it
 * is good for the streams of what it was made for, and for nothing else.
 */
import { StreamError } from "./problem.js";
/** A ticket, and until when it is good, in RFC 3339; absent if that is not known. */
export interface Ticket {
    ticket: string;
    expires?: string;
}
/**
 * Where tickets come from: headers with a credential, such as Authorization, for POST /tickets,
 * which is at `url` if it is not beside the watch; or a function that gets a ticket elsewhere, for
 * example from the page's own server; or one ticket, after which there is no other.
 */
export type TicketSource = string | (() => string | Ticket | Promise<string | Ticket>) | {
    /** A function is called for every ticket. */
    headers: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
    url?: string | URL;
};
/** What tickets need of the options of a stream. */
export interface TicketOptions {
    source: TicketSource;
    fetch: typeof fetch;
    withCredentials: boolean;
    now: () => number;
}
export declare class Tickets {
    #private;
    constructor(options: TicketOptions);
    /** Returns the url of a watch with a ticket, which it makes if there is none. */
    addTo(url: URL): Promise<URL>;
    /** Makes the next connection have another ticket. */
    forget(): void;
    /**
     * Reports whether another ticket may help after a stream was refused: not if the one that was
     * refused had been made for that very stream, nor if there is no other.
     */
    mayHelp(error: StreamError): boolean;
}
