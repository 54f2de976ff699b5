/**
 * Tickets for streams. The credential is sent to POST /tickets, and its answer stands in the URL of
 * a stream: it is good for the streams of what it was made for, and for nothing else.
 */
import { watchesOf } from "./address.js";
import type { StreamOptions } from "./connection.js";
import { expiryOf } from "./entry.js";
import { StreamError } from "./problem.js";
import { given, headersOf, request, type HeadersSource } from "./request.js";

/** A ticket with less time than so many milliseconds is not used for another connection. */
const LEAST_TIME = 60_000;

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
export type TicketSource =
  | string
  | (() => string | Ticket | Promise<string | Ticket>)
  | {
      /** A function is called for every ticket. */
      headers: HeadersSource;
      url?: string | URL;
    };

/** The address of /tickets of the gateway at which a watch is. */
function besides(url: URL): URL {
  const path = url.pathname.replace(/(\/buckets\/[^/]*)?\/watch$/, "/tickets");
  return new URL(path, url);
}

export class Tickets {
  #source: TicketSource;
  #options: StreamOptions;
  #ticket = ""; // "" if another one must be made.
  #goodUntil = 0;
  #connections = 0; // For so many the ticket was used.

  constructor(source: TicketSource, options: StreamOptions) {
    this.#source = source;
    this.#options = options;
  }

  /** Returns the url of a watch with a ticket, which it makes if there is none. */
  async _addTo(url: URL): Promise<URL> {
    const { now = Date.now } = this.#options;
    if (this.#ticket === "" || this.#goodUntil <= now()) await this.#get(url);
    this.#connections++;
    const withTicket = new URL(url);
    withTicket.searchParams.set("ticket", this.#ticket);
    return withTicket;
  }

  /** Makes the next connection have another ticket. */
  _forget(): void {
    this.#ticket = "";
    this.#connections = 0;
  }

  /**
   * Reports whether another ticket may help after a stream was refused: not if the one that was
   * refused had been made for that very stream, nor if there is no other.
   */
  _mayHelp(error: { status?: number | undefined }): boolean {
    const isOld = error.status === 401 && this.#connections > 1;
    this._forget();
    return isOld && typeof this.#source !== "string";
  }

  async #get(url: URL): Promise<void> {
    const source = this.#source;
    const isMadeHere = typeof source === "object";
    const got = await (isMadeHere ? this.#make(url, source) : given<string | Ticket>(source));
    const made: Ticket = typeof got === "string" ? { ticket: got } : got;
    this.#ticket = made.ticket;
    this.#connections = 0;
    // A ticket that ends soon, since its credential does, is used once.
    this.#goodUntil = expiryOf(made) - LEAST_TIME;
  }

  async #make(
    url: URL,
    { headers, url: at }: Exclude<TicketSource, string | Function>,
  ): Promise<Ticket> {
    const init = {
      method: "POST",
      headers: await headersOf(headers, { "Content-Type": "application/json" }),
      body: JSON.stringify({ watch: watchesOf(url) }),
    };
    const to = new URL(at ?? besides(url), url);
    return (await request(this.#options, to, init, StreamError)).json();
  }
}
