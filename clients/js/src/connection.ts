/**
 * Keeps one event stream connected, by fetch. Each connection resumes at the last event id of the
 * one before.
 *
 * An EventSource is not used: it tells no status, takes no header, shows no part of a large event,
 * and cannot be made to wait for its reader.
 */
import { absolute, milliseconds } from "./address.js";
import { StreamError, hasCode, hasType } from "./problem.js";
import { headersOf, request, type HeadersSource } from "./request.js";
import { EventStreamParser, type ServerSentEvent } from "./sse.js";
import { Tickets, type TicketSource } from "./tickets.js";

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
export const LONGEST_TIMEOUT = 2 ** 31 - 1;

/**
 * How often the clock is looked at, in milliseconds. The timers of a machine that sleeps stand
 * still, and its clock does not, so silence is measured by the clock.
 */
const TICK = 5000;

const RETRY = 3000;

const EVENT_STREAM = "text/event-stream";

/** The gateway asks for at least a second, so less is not believed, in milliseconds. */
const SHORTEST_RETRY = 1000;

// A stream that will end with its credential is replaced within so many times `retry`, so that
// pages that were opened together do not come back together. The gateway gives 30 s.
const RENEWAL = 5;

/** The events after which the clock may show that a connection is broken. */
const WAKING = ["online", "pageshow", "visibilitychange"];

type Timer = ReturnType<typeof setTimeout> | undefined;

/** With a known interval of heartbeats, silence can be told from a lost connection. */
const HEARTBEAT: Record<string, string> = { heartbeat: "15s" };

export class Connection {
  /** The id to resume at, "" before the first. */
  _lastEventId: string;

  #url: URL | (() => string | URL | Promise<string | URL>);
  #options: StreamOptions;
  #hooks: Hooks;
  #wanted: Record<string, string>; // Parameters that are added to a url.
  #tickets: Tickets | undefined;
  #now: () => number;
  #failures = 0; // The number of attempts in a row that brought nothing new.
  #ownRetry: number; // How long the page asks to wait, in milliseconds.
  #retry: number; // How long the gateway asks to wait, in milliseconds.
  #abort: AbortController | undefined; // Ends the fetch.
  #attempt = 0; // The number of the attempt. What remains of an earlier one changes nothing.
  #advanced = false; // The attempt has brought more than the bookmarks with which it began.
  #timer: Timer; // Begins the next attempt.
  #renewal: Timer; // Begins another attempt while this one goes on.
  #watchdog: Timer; // Looks at the clock now and then.
  #idle = 0; // How much silence is too much, in milliseconds.
  #heardAt = Infinity; // When something came last, by the clock; Infinity while nothing must.
  #silences = 0; // How many connections were given up for silence since the last bookmark.
  #closed = false;

  constructor(url: WatchURL, options: StreamOptions, hooks: Hooks, lastEventId = "") {
    const { headers, ticket } = options;
    if (headers && ticket) throw new TypeError("give the headers to the ticket or to the stream");
    this.#options = options;
    this.#hooks = hooks;
    this.#wanted = hooks._wanted ?? HEARTBEAT;
    this.#now = options.now ?? Date.now;
    this.#retry = this.#ownRetry = options.retry ?? RETRY;
    this._lastEventId = lastEventId;
    this.#paceOf(); // Until a url says otherwise.
    this.#url = typeof url === "function" ? url : this.#begin(absolute(url));
    if (ticket) this.#tickets = new Tickets(ticket, options);
    this.#listen("addEventListener");
  }

  async _connect(): Promise<void> {
    const attempt = this.#next();
    this.#heard(attempt); // The page's url or headers may never come.
    try {
      const given = this.#url;
      let url = given instanceof URL ? given : this.#begin(absolute(await given()));
      url = this.#complete(url);
      if (this.#tickets) url = await this.#tickets._addTo(url);
      if (attempt !== this.#attempt) return;
      this.#hooks._connecting?.(this._lastEventId);
      this.#heard(attempt);
      await this.#fetch(url, attempt);
    } catch (error) {
      if (this.#isTooNew(error, attempt)) return this._connect();
      const isError = error instanceof Error; // The page's url or headers may throw anything.
      this.#failed(isError ? error : new StreamError("no request", { cause: error }), attempt);
    }
  }

  _close(): void {
    this.#closed = true;
    this.#next();
    this.#listen("removeEventListener");
  }

  /** Connects anew without the last event id, so that everything is sent again. */
  _restart(): void {
    this._lastEventId = "";
    this.#hooks._connecting?.("");
    this.#failed(new StreamError("what is held is in doubt"), this.#attempt);
  }

  /**
   * Takes the announcement that the stream will end. The next connection needs another ticket. One
   * whose time is over soon is replaced before.
   */
  _goAway(reason: string): void {
    const isExpiring = reason === "auth-expiring";
    if (!this.#tickets || !(isExpiring || reason === "permissions")) return;
    this.#tickets._forget();
    if (!isExpiring) return;
    const wait = Math.random() * RENEWAL * this.#ownRetry;
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => this._connect(), wait);
  }

  /** Whether nothing was heard for so long that the connection counts as broken. */
  get _isOverdue(): boolean {
    return this.#now() - this.#heardAt > this.#patience;
  }

  // A slow network that brings little looks like a broken one. So each connection gets twice as
  // long as the one before, up to a bound.
  get #patience(): number {
    return this.#idle * 2 ** Math.min(this.#silences, 4);
  }

  #begin(url: URL): URL {
    this.#paceOf(url.searchParams.get("heartbeat"));
    this.#hooks._begun?.(url);
    return url;
  }

  #complete(given: URL): URL {
    const url = new URL(given);
    for (const [name, value] of Object.entries({ ...HEARTBEAT, ...this.#wanted })) {
      if (!url.searchParams.has(name)) url.searchParams.set(name, value);
    }
    return url;
  }

  // A gateway of an earlier version refuses what it does not know. It is asked again without what
  // was added, but only once: a parameter that is unknown then is one of the page's.
  #isTooNew(error: unknown, attempt: number): boolean {
    const isTooNew =
      attempt === this.#attempt &&
      this.#wanted !== HEARTBEAT &&
      hasCode(error, "unknown-parameter");
    if (isTooNew) this.#wanted = HEARTBEAT;
    return isTooNew;
  }

  #paceOf(heartbeat?: string | null): void {
    const interval = milliseconds(heartbeat ?? HEARTBEAT.heartbeat!);
    this.#idle = this.#options.idleTimeout ?? 3 * interval + 5000;
  }

  // Only a window and a worker have such events.
  #listen(method: "addEventListener" | "removeEventListener"): void {
    for (const place of [globalThis, globalThis.document]) {
      for (const event of WAKING) place?.[method]?.(event, this.#wake);
    }
  }

  /** Ends the current attempt, so that nothing of it has an effect any more, and begins another. */
  #next(): number {
    for (const timer of [this.#timer, this.#renewal, this.#watchdog]) clearTimeout(timer);
    this.#timer = this.#watchdog = undefined;
    this.#heardAt = Infinity;
    this.#abort?.abort();
    this.#advanced = false;
    return ++this.#attempt;
  }

  async #fetch(url: URL, attempt: number): Promise<void> {
    const headers = await headersOf(this.#options.headers, {
      Accept: EVENT_STREAM,
      "Last-Event-ID": this._lastEventId || undefined,
    });
    if (attempt !== this.#attempt) return;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const response = await request(this.#options, url, { headers, signal }, StreamError);
    if (attempt !== this.#attempt) return;
    if (!hasType(response, EVENT_STREAM)) throw new StreamError("the answer is no event stream");
    this.#heard(attempt);
    this.#hooks._open?.();
    await this.#read(response.body!.getReader(), attempt);
    throw new StreamError("the stream ended");
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>, attempt: number): Promise<void> {
    const parser = new EventStreamParser(
      {
        _event: (event) => this.#take(event, attempt),
        // No answer, not even a broken proxy's, makes it ask again and again without a pause.
        _retry: (wait) => (this.#retry = Math.max(wait, Math.min(this.#ownRetry, SHORTEST_RETRY))),
      },
      this._lastEventId,
    );
    for (;;) {
      const { done, value } = await reader.read();
      if (done || attempt !== this.#attempt || this.#checkClock(attempt)) return;
      parser._push(value);
      if (attempt !== this.#attempt) return;
      this._lastEventId = parser._lastEventId; // A block without data changes it too.
      const full = this.#hooks._drained?.();
      if (full) {
        this.#heardAt = Infinity;
        await full;
        if (attempt !== this.#attempt) return;
      }
      this.#heard(attempt);
    }
  }

  #take(event: ServerSentEvent, attempt: number): void {
    if (attempt !== this.#attempt) return;
    try {
      this.#hooks._event(event);
    } catch (error) {
      // The event was not understood, so the next connection resumes before it.
      return this.#failed(error as Error, attempt);
    }
    if (attempt !== this.#attempt) return;
    this.#note(event.type);
    this._lastEventId = event.id;
  }

  // A stream that resumes begins with a bookmark of where it begins, which says nothing of how well
  // it goes on. Any other bookmark comes when nothing else is on its way.
  #note(type: string): void {
    const isBookmark = type === "bookmark";
    if (isBookmark && this.#advanced) this.#silences = 0;
    this.#advanced ||= !isBookmark && type !== "problem";
    if (this.#advanced) this.#failures = 0;
  }

  #heard(attempt: number): void {
    this.#heardAt = this.#now();
    if (this.#watchdog === undefined) this.#watch(attempt);
  }

  // A connection whose other end has vanished can be distinguished from a quiet one only by the
  // missing heartbeats.
  #watch(attempt: number): void {
    const now = this.#now();
    // The clock may have been set back.
    if (this.#heardAt !== Infinity) this.#heardAt = Math.min(this.#heardAt, now);
    const left = this.#heardAt + this.#patience - now;
    this.#watchdog = setTimeout(
      () => this.#checkClock(attempt) || this.#watch(attempt),
      Math.min(Math.max(left, 0) + 1, TICK),
    );
  }

  /** Gives the connection up if nothing was heard for too long, and reports whether it did. */
  #checkClock(attempt: number): boolean {
    if (!this._isOverdue) return false;
    this.#silences++;
    this.#failed(new StreamError("nothing was heard for too long"), attempt);
    return true;
  }

  // The machine has slept, the page is shown again, or there is a network again.
  #wake = ({ type }: Event): void => {
    if (this.#checkClock(this.#attempt)) return;
    if (type === "online" && this.#timer !== undefined) this._connect();
  };

  #failed(error: Error & Partial<StreamError>, attempt: number): void {
    if (this.#closed || attempt !== this.#attempt) return;
    this.#next();
    if (error.permanent && this.#tickets?._mayHelp(error)) error.permanent = false;
    if (error.permanent) {
      this._close();
      return this.#hooks._down(error);
    }
    const wait = Math.min(Math.max(this.#delay(), error.retryAfter ?? 0), LONGEST_TIMEOUT);
    this.#failures++;
    this.#timer = setTimeout(() => this._connect(), wait);
    this.#hooks._down(error, wait);
  }

  // The delay doubles with every attempt that brought nothing. It is spread, so that not all
  // clients come at once to a gateway that is back.
  #delay(): number {
    const longest = Math.max(this.#options.maxRetry ?? 30_000, this.#retry);
    const wait = Math.min(this.#retry * 2 ** Math.min(this.#failures, 16), longest);
    return wait * (0.75 + Math.random() / 2);
  }
}
