/**
 * Tickets for streams. A browser's EventSource cannot send a header, and a credential must not
 * stand in a URL. So the credential is sent to POST /tickets, and its answer stands in the URL: it
 * is good for the streams of what it was made for, and for nothing else.
 */
import { StreamError, refusal } from "./problem.js";

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
      headers: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
      url?: string | URL;
    };

/** What a watch follows, as POST /tickets takes it. */
function watchesOf(url: URL): string[] {
  const watches = url.searchParams.getAll("watch");
  if (watches.length > 0) return watches;
  const bucket = decodeURIComponent(url.pathname.split("/").at(-2)!);
  const filters = url.searchParams.getAll("filter");
  return filters.length === 0 ? [bucket] : filters.map((filter) => `${bucket}:${filter}`);
}

/** The address of /tickets of the gateway at which a watch is. */
function besides(url: URL): URL {
  const path = url.pathname.replace(/(\/buckets\/[^/]*)?\/watch$/, "/tickets");
  return new URL(path, url);
}

/** What tickets need of the options of a stream. */
export interface TicketOptions {
  source: TicketSource;
  fetch: typeof fetch;
  withCredentials: boolean;
  now: () => number;
}

export class Tickets {
  #options: TicketOptions;
  #ticket = ""; // "" if another one must be made.
  #goodUntil = 0;
  #connections = 0; // For so many the ticket was used.

  constructor(options: TicketOptions) {
    this.#options = options;
  }

  /** Returns the url of a watch with a ticket, which it makes if there is none. */
  async addTo(url: URL): Promise<URL> {
    if (this.#ticket === "" || this.#goodUntil <= this.#options.now()) await this.#get(url);
    this.#connections++;
    const withTicket = new URL(url);
    withTicket.searchParams.set("ticket", this.#ticket);
    return withTicket;
  }

  /** Makes the next connection have another ticket. */
  forget(): void {
    this.#ticket = "";
    this.#connections = 0;
  }

  /**
   * Reports whether another ticket may help after a stream was refused: not if the one that was
   * refused had been made for that very stream, nor if there is no other.
   */
  mayHelp(error: StreamError): boolean {
    const isOld = error.status === 401 && this.#connections > 1;
    this.forget();
    return isOld && typeof this.#options.source !== "string";
  }

  async #get(url: URL): Promise<void> {
    const { source } = this.#options;
    const got =
      typeof source === "string" ? source
      : typeof source === "function" ? await source()
      : await this.#make(url, source);
    const { ticket, expires }: Ticket = typeof got === "string" ? { ticket: got } : got;
    this.#ticket = ticket;
    this.#connections = 0;
    // A ticket that ends soon, since its credential does, is used once.
    this.#goodUntil = expires === undefined ? Infinity : Date.parse(expires) - LEAST_TIME;
  }

  async #make(
    url: URL,
    { headers, url: at }: Exclude<TicketSource, string | Function>,
  ): Promise<Ticket> {
    const sent = new Headers(typeof headers === "function" ? await headers() : headers);
    sent.set("Content-Type", "application/json");
    const { fetch } = this.#options;
    const response = await fetch(new URL(at ?? besides(url), url), {
      method: "POST",
      headers: sent,
      body: JSON.stringify({ watch: watchesOf(url) }),
      cache: "no-store",
      credentials: this.#options.withCredentials ? "include" : "same-origin",
    });
    if (!response.ok) throw new StreamError(...(await refusal(response)));
    return response.json();
  }
}
