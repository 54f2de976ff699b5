/** How streams are opened: by EventSource or fetch, with headers, tickets and waits. */
import { absolute, milliseconds } from "./address.js";
import { Connection, type ConnectionOptions } from "./connection.js";
import { Tickets, type TicketSource } from "./tickets.js";

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

// A stream that will end with its credential is replaced within so many times `retry`, so that
// pages that were opened together do not come back together. The gateway gives 30 s.
const RENEWAL = 5;

const RETRY = 3000;

/** What a stream calls, beside what concerns its transport. */
export type Hooks = Pick<
  ConnectionOptions,
  "onConnecting" | "onEvent" | "onOpen" | "onDown" | "drained"
>;

/** One stream with its tickets. */
export class Transport {
  readonly connection: Connection;
  #options: TransportOptions;
  #tickets: Tickets | undefined;
  #idleTimeout = 0;

  /** @param begun is given each url that a function returned, before a ticket is added to it */
  constructor(
    url: WatchURL,
    options: TransportOptions & { lastEventId?: string | undefined },
    begun: (url: URL) => void,
    hooks: Hooks,
  ) {
    this.#options = options;
    const { headers, ticket } = options;
    if (headers && ticket) {
      throw new TypeError("give headers to the ticket, or to the stream, not to both");
    }
    const fetch = options.fetch ?? globalThis.fetch?.bind(globalThis);
    const withCredentials = options.withCredentials ?? false;
    const now = options.now ?? Date.now;
    const source = "EventSource" in options ? options.EventSource : globalThis.EventSource;
    const given = typeof url === "function" ? url : this.#watch(url);
    this.#paceOf(null); // Until a url says otherwise.
    if (given instanceof URL) this.#begin(given, begun);
    if (ticket) this.#tickets = new Tickets({ source: ticket, fetch, withCredentials, now });
    const next = async () =>
      given instanceof URL ? given : this.#begin(this.#watch(await given()), begun);
    this.connection = new Connection({
      ...hooks,
      url: this.#tickets
        ? async () => (await this.#tickets!.addTo(await next())).href
        : given instanceof URL ? given.href : async () => (await next()).href,
      EventSource: headers ? null : (source ?? null),
      fetch,
      headers: typeof headers === "function" ? headers : () => headers,
      withCredentials,
      retry: options.retry ?? RETRY,
      maxRetry: options.maxRetry ?? 30_000,
      idleTimeout: () => this.#idleTimeout,
      lastEventId: options.lastEventId ?? "",
      now,
      mayRetry: (error) => this.#tickets?.mayHelp(error) ?? false,
    });
  }

  // With a known interval of heartbeats, silence can be told from a lost connection.
  #watch(address: string | URL): URL {
    const url = absolute(address);
    if (!url.searchParams.has("heartbeat")) url.searchParams.set("heartbeat", "15s");
    return url;
  }

  #begin(url: URL, begun: (url: URL) => void): URL {
    this.#paceOf(url.searchParams.get("heartbeat"));
    begun(url);
    return url;
  }

  #paceOf(heartbeat: string | null): void {
    this.#idleTimeout =
      this.#options.idleTimeout ?? 3 * milliseconds(heartbeat ?? "15s") + 5000;
  }

  /**
   * Takes the announcement that the stream will end. The next connection needs another ticket. One
   * whose time is over soon is replaced before.
   */
  goAway(reason: string): void {
    if (!this.#tickets || (reason !== "auth-expiring" && reason !== "permissions")) return;
    this.#tickets.forget();
    if (reason === "auth-expiring") {
      this.connection.renew(RENEWAL * (this.#options.retry ?? RETRY));
    }
  }
}
