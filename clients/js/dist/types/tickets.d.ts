import type { StreamOptions } from "./connection.js";
import { type HeadersSource } from "./request.js";
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
    headers: HeadersSource;
    url?: string | URL;
};
export declare class Tickets {
    #private;
    constructor(source: TicketSource, options: StreamOptions);
    /** Returns the url of a watch with a ticket, which it makes if there is none. */
    _addTo(url: URL): Promise<URL>;
    /** Makes the next connection have another ticket. */
    _forget(): void;
    /**
     * Reports whether another ticket may help after a stream was refused: not if the one that was
     * refused had been made for that very stream, nor if there is no other.
     */
    _mayHelp(error: {
        status?: number | undefined;
    }): boolean;
}
