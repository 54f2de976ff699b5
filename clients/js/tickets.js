/**
 * Tickets for streams. A browser's EventSource cannot send a header, and a credential must not
 * stand in a URL. So the credential is sent to POST /tickets, and its answer stands in the URL: it
 * is good for the streams of what it was made for, and for nothing else.
 */
import { refusal } from "./connection.js";

/** A ticket with less time than so many milliseconds is not used for another connection. */
const LEAST_TIME = 60_000;

/** What a watch follows, as POST /tickets takes it. */
function watchesOf(url) {
  const watches = url.searchParams.getAll("watch");
  if (watches.length > 0) return watches;
  const bucket = decodeURIComponent(url.pathname.split("/").at(-2));
  const filters = url.searchParams.getAll("filter");
  return filters.length === 0 ? [bucket] : filters.map((filter) => `${bucket}:${filter}`);
}

/** The address of /tickets of the gateway at which a watch is. */
function besides(url) {
  const path = url.pathname.replace(/(\/buckets\/[^/]*)?\/watch$/, "/tickets");
  return new URL(path, url);
}

export class Tickets {
  #options;
  #now;
  #ticket = ""; // "" if another one must be made.
  #goodUntil = 0;
  #connections = 0; // For so many the ticket was used.

  /**
   * @param {object} options
   * @param {HeadersInit | (() => HeadersInit | Promise<HeadersInit>)} options.headers
   * @param {string | URL | undefined} options.url of /tickets, if it is not beside the watch
   * @param {typeof fetch} options.fetch
   * @param {boolean} options.withCredentials
   * @param {() => number} options.now
   */
  constructor(options) {
    this.#options = options;
    this.#now = options.now;
  }

  /** Returns the url of a watch with a ticket, which it makes if there is none. */
  async addTo(url) {
    if (this.#ticket === "" || this.#goodUntil <= this.#now()) await this.#make(url);
    this.#connections++;
    const withTicket = new URL(url);
    withTicket.searchParams.set("ticket", this.#ticket);
    return withTicket;
  }

  /** Makes the next connection have another ticket. */
  forget() {
    this.#ticket = "";
    this.#connections = 0;
  }

  /**
   * Reports whether another ticket may help after a stream was refused: not if the one that was
   * refused had been made for that very stream.
   */
  mayHelp(error) {
    const isOld = error.status === 401 && this.#connections > 1;
    this.forget();
    return isOld;
  }

  async #make(url) {
    const { fetch, headers, withCredentials } = this.#options;
    const sent = new Headers(typeof headers === "function" ? await headers() : headers);
    sent.set("Content-Type", "application/json");
    const response = await fetch(new URL(this.#options.url ?? besides(url), url), {
      method: "POST",
      headers: sent,
      body: JSON.stringify({ watch: watchesOf(url) }),
      cache: "no-store",
      credentials: withCredentials ? "include" : "same-origin",
    });
    if (!response.ok) throw await refusal(response);
    const { ticket, expires } = await response.json();
    this.#ticket = ticket;
    this.#connections = 0;
    // A ticket that ends soon, since its credential does, is used once.
    this.#goodUntil = Date.parse(expires) - LEAST_TIME;
  }
}
