/**
 * Keeps one event stream connected, by EventSource or by fetch. Each connection resumes at the last
 * event id of the one before.
 */
import { StreamError, refusal } from "./problem.js";
import { EventStreamParser, type ServerSentEvent } from "./sse.js";

const EVENTS = [
  "message", "put", "delete", "purge", "expire", "sync", "reset", "stale", "live",
  "bucket-deleted", "goaway", "problem", "bookmark", "removed",
];

/** The longest time of a timer, in milliseconds. A longer one would fire at once. */
export const LONGEST_TIMEOUT = 2 ** 31 - 1;

/**
 * How often the clock is looked at, in milliseconds. The timers of a machine that sleeps stand
 * still, and its clock does not, so silence is measured by the clock.
 */
const TICK = 5000;

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

export class Connection {
  /** The id to resume at, "" before the first. */
  lastEventId: string;

  #options: ConnectionOptions;
  #failures = 0; // The number of attempts in a row that brought nothing new.
  #retry: number; // How long the gateway asks to wait, in milliseconds.
  #source: EventSource | undefined;
  #abort: AbortController | undefined; // Ends the fetch.
  #attempt = 0; // The number of the attempt. What remains of an earlier one changes nothing.
  #advanced = false; // The attempt has brought more than the bookmarks with which it began.
  #timer: ReturnType<typeof setTimeout> | undefined; // Begins the next attempt.
  #renewal: ReturnType<typeof setTimeout> | undefined; // Begins another while this one goes on.
  #watchdog: ReturnType<typeof setTimeout> | undefined; // Looks at the clock now and then.
  #heardAt = Infinity; // When something came last, by the clock; Infinity while nothing must.
  #silences = 0; // How many connections were given up for silence since the last bookmark.
  #closed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#retry = options.retry;
    this.lastEventId = options.lastEventId;
    for (const target of places()) {
      for (const event of WAKING) target.addEventListener(event, this.#wake);
    }
  }

  async connect(): Promise<void> {
    const attempt = this.#begin();
    this.#heard(attempt); // The page's url or headers may never come.
    try {
      const { url: given } = this.#options;
      const url = new URL(typeof given === "function" ? await given() : given);
      if (attempt !== this.#attempt) return;
      this.#options.onConnecting(this.lastEventId);
      this.#heard(attempt);
      if (this.#options.EventSource) this.#byEventSource(url, attempt);
      else await this.#byFetch(url, attempt);
    } catch (error) {
      const isError = error instanceof Error; // The page's url or headers may throw anything.
      const cause = new StreamError("no connection was begun", { cause: error });
      this.#failed(isError ? error : cause, attempt);
    }
  }

  close(): void {
    this.#closed = true;
    this.#begin();
    for (const target of places()) {
      for (const event of WAKING) target.removeEventListener(event, this.#wake);
    }
  }

  /** Connects anew within some milliseconds, and keeps the connection that there is until then. */
  renew(within: number): void {
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => this.connect(), Math.random() * within);
  }

  /** Connects anew without the last event id, so that everything is sent again. */
  restart(): void {
    this.lastEventId = "";
    this.#options.onConnecting("");
    this.#failed(new StreamError("what is held is in doubt"), this.#attempt);
  }

  /** Whether nothing was heard for so long that the connection counts as broken. */
  get isOverdue(): boolean {
    return this.#options.now() - this.#heardAt > this.#patience;
  }

  // A slow connection that brings a large event looks like a broken one, since an EventSource shows
  // no part of an event. So each connection gets twice as long as the one before, up to a bound.
  get #patience(): number {
    return this.#options.idleTimeout() * 2 ** Math.min(this.#silences, 4);
  }

  /** Ends the current attempt, so that nothing of it has an effect any more, and begins another. */
  #begin(): number {
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    clearTimeout(this.#watchdog);
    this.#timer = this.#watchdog = undefined;
    this.#heardAt = Infinity;
    this.#source?.close();
    this.#abort?.abort();
    this.#source = this.#abort = undefined;
    this.#advanced = false;
    return ++this.#attempt;
  }

  #byEventSource(url: URL, attempt: number): void {
    // A browser sends the Last-Event-ID header by itself, but only if this EventSource had an id.
    if (this.lastEventId !== "") url.searchParams.set("last_event_id", this.lastEventId);
    const { withCredentials, url: given } = this.#options;
    const source = new this.#options.EventSource!(url.href, { withCredentials });
    this.#source = source;
    source.onopen = () => this.#opened(attempt);
    const take = ({ type, data, lastEventId: id }: MessageEvent) =>
      this.#take({ type, data, id }, attempt);
    for (const name of EVENTS) source.addEventListener(name, take);
    source.onerror = () => {
      if (attempt !== this.#attempt) return;
      const lost = new StreamError("the connection was lost");
      if (source.readyState === source.CLOSED) {
        this.#askWhy(url, attempt); // It never comes back by itself.
      } else if (typeof given === "function") {
        this.#failed(lost, attempt); // The next connection needs another url.
      } else {
        this.#options.onDown(lost);
        if (attempt !== this.#attempt) return;
        this.#advanced = false;
        this.#options.onConnecting(this.lastEventId);
        this.#heard(attempt);
      }
    };
  }

  // An EventSource does not say which status closed it. Whether to try again depends on that
  // status, so this makes the request once more.
  async #askWhy(url: URL, attempt: number): Promise<void> {
    let error = new StreamError("the stream was refused");
    // Events may have come since the EventSource was made.
    if (this.lastEventId !== "") url.searchParams.set("last_event_id", this.lastEventId);
    try {
      const response = await this.#fetch(url, new Headers());
      if (!response.ok) error = new StreamError(...(await refusal(response)));
    } catch {
      // The gateway is not reachable, which passes.
    }
    this.#failed(error, attempt);
  }

  #fetch(url: URL, headers: Headers): Promise<Response> {
    headers.set("Accept", "text/event-stream");
    this.#abort = new AbortController();
    return this.#options.fetch(url, {
      headers,
      cache: "no-store",
      credentials: this.#options.withCredentials ? "include" : "same-origin",
      signal: this.#abort.signal,
    });
  }

  async #byFetch(url: URL, attempt: number): Promise<void> {
    const sent = new Headers(await this.#options.headers?.());
    if (attempt !== this.#attempt) return;
    if (this.lastEventId !== "") sent.set("Last-Event-ID", this.lastEventId);
    const response = await this.#fetch(url, sent);
    if (attempt !== this.#attempt) return;
    if (response.status !== 200) throw new StreamError(...(await refusal(response)));
    if (!/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "")) {
      this.#abort?.abort();
      throw new StreamError("the answer is not an event stream");
    }
    this.#opened(attempt);
    await this.#read(response.body!.getReader(), attempt);
    throw new StreamError("the stream ended");
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>, attempt: number): Promise<void> {
    const parser = new EventStreamParser(
      {
        onEvent: (event) => this.#take(event, attempt),
        onRetry: (milliseconds) => (this.#retry = milliseconds),
      },
      this.lastEventId,
    );
    for (;;) {
      const { done, value } = await reader.read();
      if (done || attempt !== this.#attempt || this.#checkClock(attempt)) return;
      parser.push(value);
      if (attempt !== this.#attempt) return;
      this.lastEventId = parser.lastEventId; // A block without data changes it too.
      const full = this.#options.drained?.();
      if (full) {
        this.#heardAt = Infinity;
        await full;
        if (attempt !== this.#attempt) return;
      }
      this.#heard(attempt);
    }
  }

  #opened(attempt: number): void {
    if (attempt !== this.#attempt) return;
    this.#heard(attempt);
    this.#options.onOpen();
  }

  #take(event: ServerSentEvent, attempt: number): void {
    if (attempt !== this.#attempt || this.#checkClock(attempt)) return;
    this.#heard(attempt);
    try {
      this.#options.onEvent(event);
    } catch (error) {
      // The event was not understood, so the next connection resumes before it.
      return this.#failed(error as Error, attempt);
    }
    if (attempt !== this.#attempt) return;
    this.#note(event.type);
    this.lastEventId = event.id;
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
    this.#heardAt = this.#options.now();
    if (this.#watchdog === undefined) this.#watch(attempt);
  }

  // A connection whose other end has vanished can be distinguished from a quiet one only by the
  // missing heartbeats.
  #watch(attempt: number): void {
    const now = this.#options.now();
    if (this.#heardAt > now && this.#heardAt !== Infinity) this.#heardAt = now; // It was set back.
    const left = this.#heardAt + this.#patience - now;
    this.#watchdog = setTimeout(
      () => {
        if (attempt === this.#attempt && !this.#checkClock(attempt)) this.#watch(attempt);
      },
      Math.min(Math.max(left + 1, 1), TICK),
    );
  }

  /** Gives the connection up if nothing was heard for too long, and reports whether it did. */
  #checkClock(attempt: number): boolean {
    if (!this.isOverdue) return false;
    this.#silences++;
    this.#failed(new StreamError("nothing was heard for too long"), attempt);
    return true;
  }

  // The machine has slept, the page is shown again, or there is a network again.
  #wake = ({ type }: Event): void => {
    if (this.#checkClock(this.#attempt)) return;
    if (type === "online" && this.#timer !== undefined) this.connect();
  };

  #failed(error: Error & { permanent?: boolean; retryAfter?: number | undefined },
    attempt: number): void {
    if (this.#closed || attempt !== this.#attempt) return;
    this.#begin();
    if (error.permanent && this.#options.mayRetry?.(error as StreamError)) error.permanent = false;
    if (error.permanent) {
      this.close();
      return this.#options.onDown(error);
    }
    const wait = Math.min(Math.max(this.#delay(), error.retryAfter ?? 0), LONGEST_TIMEOUT);
    this.#failures++;
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#options.onDown(error, wait);
  }

  // The delay doubles with every attempt that brought nothing. It is spread, so that not all
  // clients come at once to a gateway that is back.
  #delay(): number {
    const longest = Math.max(this.#options.maxRetry, this.#retry);
    const wait = Math.min(this.#retry * 2 ** Math.min(this.#failures, 16), longest);
    return wait * (0.75 + Math.random() / 2);
  }
}

/** The events after which the clock may show that a connection is broken. */
const WAKING = ["online", "pageshow", "visibilitychange"];

/** Where these events come: nowhere in Node.js. */
const places = (): EventTarget[] =>
  [globalThis, globalThis.document].filter((place) => place?.addEventListener !== undefined);
