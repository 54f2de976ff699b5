/**
 * Keeps one event stream connected, by EventSource or by fetch. Each connection resumes at the last
 * event id of the one before.
 */
import { EventStreamParser } from "./sse.js";

const EVENTS = [
  "message", "put", "delete", "purge", "expire", "sync", "reset", "stale", "live",
  "bucket-deleted", "goaway", "problem", "bookmark",
];

/** The longest time of a timer, in milliseconds. A longer one would fire at once. */
export const LONGEST_TIMEOUT = 2 ** 31 - 1;

/**
 * The refusals with 4xx after which another attempt may succeed. A test of the gateway compares
 * them with its table of problems. It never answers 425 itself, but a proxy may.
 */
const PASSING = [408, 425, 429];

/**
 * Reports whether another attempt would be refused too. An attempt changes nothing, so every 5xx
 * is worth another one, also where the table says that a request must not be repeated.
 */
export const isPermanent = (status) =>
  status >= 400 && status < 500 && !PASSING.includes(status);

/** Says why a stream was refused, with the gateway's problem document if there is one. */
export class StreamError extends Error {
  name = "StreamError";
  constructor(message, { status, problem, retryAfter, cause } = {}) {
    super(message, { cause });
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
    this.permanent = status !== undefined && isPermanent(status);
  }
}

/** The error of an answer that refuses a request. */
export async function refusal(response) {
  const type = response.headers.get("content-type") ?? "";
  let problem;
  if (type.startsWith("application/problem+json")) {
    problem = await response.json().catch(() => undefined);
  }
  // A date is ignored.
  const retryAfter = Number(response.headers.get("retry-after")) * 1000 || undefined;
  const message = problem?.detail ?? problem?.title ?? `${response.status} ${response.statusText}`;
  return new StreamError(message, { status: response.status, problem, retryAfter });
}

export class Connection {
  /** The id to resume at, "" before the first. */
  lastEventId;

  #options;
  #url;
  #failures = 0; // The number of attempts in a row that brought nothing new.
  #retry; // How long the gateway asks to wait, in milliseconds.
  #source = null; // The EventSource.
  #abort = null; // Ends the fetch.
  #attempt = 0; // The number of the attempt. What remains of an earlier one changes nothing.
  #advanced = false; // The attempt has brought more than the bookmarks with which it began.
  #timer; // Begins the next attempt.
  #renewal; // Begins another attempt while this one goes on well.
  #silence; // Gives the connection up if nothing comes.
  #silences = 0; // How many connections were given up so since the last bookmark.
  #closed = false;

  /**
   * @param {object} options
   * @param {string | (() => string | Promise<string>)} options.url
   * @param {typeof EventSource | null} options.EventSource null uses fetch
   * @param {typeof fetch} options.fetch
   * @param {(() => unknown) | undefined} options.headers called before every connection
   * @param {boolean} options.withCredentials
   * @param {number} options.retry milliseconds to wait, until the gateway says otherwise
   * @param {number} options.maxRetry
   * @param {() => number} options.idleTimeout
   *     milliseconds of silence after which a connection counts as broken
   * @param {string} options.lastEventId
   * @param {(lastEventId: string) => void} options.onConnecting
   * @param {(event: import("./sse.js").ServerSentEvent) => void} options.onEvent
   * @param {() => void} options.onOpen
   * @param {(error: Error, retryIn?: number) => void} options.onDown
   *     without retryIn the EventSource reconnects by itself, or nothing does
   * @param {(error: StreamError) => boolean} [options.mayRetry]
   *     whether to try again after a refusal that would be final else
   */
  constructor(options) {
    this.#options = options;
    this.#url = options.url;
    this.#retry = options.retry;
    this.lastEventId = options.lastEventId;
  }

  async connect() {
    const attempt = this.#begin();
    this.#listenForSilence(attempt); // The page's url or headers may never come.
    try {
      const text = typeof this.#url === "function" ? await this.#url() : this.#url;
      const url = new URL(text, globalThis.location?.href);
      if (attempt !== this.#attempt) return;
      this.#options.onConnecting(this.lastEventId);
      this.#listenForSilence(attempt);
      if (this.#options.EventSource) this.#byEventSource(url, attempt);
      else await this.#byFetch(url, attempt);
    } catch (error) {
      const isError = error instanceof Error; // The page's url or headers may throw anything.
      const cause = new StreamError("no connection was begun", { cause: error });
      this.#failed(isError ? error : cause, attempt);
    }
  }

  close() {
    this.#closed = true;
    this.#begin();
  }

  /** Connects anew within some milliseconds, and keeps the connection that there is until then. */
  renew(within) {
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => this.connect(), Math.random() * within);
  }

  /** Ends the current attempt, so that nothing of it has an effect any more, and begins another. */
  #begin() {
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#abort?.abort();
    this.#source = this.#abort = null;
    this.#advanced = false;
    return ++this.#attempt;
  }

  #byEventSource(url, attempt) {
    // A browser sends the Last-Event-ID header by itself, but only if this EventSource had an id.
    if (this.lastEventId !== "") url.searchParams.set("last_event_id", this.lastEventId);
    const { withCredentials } = this.#options;
    const source = new this.#options.EventSource(url.href, { withCredentials });
    this.#source = source;
    source.onopen = () => this.#opened(attempt);
    const take = ({ type, data, lastEventId: id }) => this.#take({ type, data, id }, attempt);
    for (const name of EVENTS) source.addEventListener(name, take);
    source.onerror = () => {
      if (attempt !== this.#attempt) return;
      const lost = new StreamError("the connection was lost");
      if (source.readyState === source.CLOSED) {
        this.#askWhy(url, attempt); // It never comes back by itself.
      } else if (typeof this.#url === "function") {
        this.#failed(lost, attempt); // The next connection needs another url.
      } else {
        this.#options.onDown(lost);
        if (attempt !== this.#attempt) return;
        this.#advanced = false;
        this.#options.onConnecting(this.lastEventId);
        this.#listenForSilence(attempt);
      }
    };
  }

  // An EventSource does not say which status closed it. Whether to try again depends on that
  // status, so this makes the request once more.
  async #askWhy(url, attempt) {
    let error = new StreamError("the stream was refused");
    // Events may have come since the EventSource was made.
    if (this.lastEventId !== "") url.searchParams.set("last_event_id", this.lastEventId);
    const abort = (this.#abort = new AbortController());
    try {
      const response = await this.#options.fetch(url, {
        headers: { Accept: "text/event-stream" },
        credentials: this.#options.withCredentials ? "include" : "same-origin",
        cache: "no-store",
        signal: abort.signal,
      });
      if (!response.ok) error = await refusal(response);
    } catch {
      // The gateway is not reachable, which passes.
    }
    this.#failed(error, attempt);
  }

  async #byFetch(url, attempt) {
    const { fetch, headers, withCredentials } = this.#options;
    const abort = (this.#abort = new AbortController());
    const sent = new Headers(await headers?.());
    if (attempt !== this.#attempt) return;
    sent.set("Accept", "text/event-stream");
    if (this.lastEventId !== "") sent.set("Last-Event-ID", this.lastEventId);
    const response = await fetch(url, {
      headers: sent,
      cache: "no-store",
      credentials: withCredentials ? "include" : "same-origin",
      signal: abort.signal,
    });
    if (attempt !== this.#attempt) return;
    if (response.status !== 200) throw await refusal(response);
    if (!/^text\/event-stream\b/i.test(response.headers.get("content-type") ?? "")) {
      abort.abort();
      throw new StreamError("the answer is not an event stream");
    }
    this.#opened(attempt);
    await this.#read(response.body.getReader(), attempt);
    throw new StreamError("the stream ended");
  }

  async #read(reader, attempt) {
    const parser = new EventStreamParser(
      {
        onEvent: (event) => this.#take(event, attempt),
        onRetry: (milliseconds) => (this.#retry = milliseconds),
      },
      this.lastEventId,
    );
    for (;;) {
      const { done, value } = await reader.read();
      if (done || attempt !== this.#attempt) return;
      parser.push(value);
      if (attempt !== this.#attempt) return;
      this.lastEventId = parser.lastEventId; // A block without data changes it too.
      this.#listenForSilence(attempt);
    }
  }

  #opened(attempt) {
    if (attempt !== this.#attempt) return;
    this.#listenForSilence(attempt);
    this.#options.onOpen();
  }

  #take(event, attempt) {
    if (attempt !== this.#attempt) return;
    this.#listenForSilence(attempt);
    try {
      this.#options.onEvent(event);
    } catch (error) {
      // The event was not understood, so the next connection resumes before it.
      return this.#failed(error, attempt);
    }
    if (attempt !== this.#attempt) return;
    this.#note(event.type);
    this.lastEventId = event.id;
  }

  // A stream that resumes begins with a bookmark of where it begins, which says nothing of how well
  // it goes on. Any other bookmark comes when nothing else is on its way.
  #note(type) {
    const isBookmark = type === "bookmark";
    if (isBookmark && this.#advanced) this.#silences = 0;
    this.#advanced ||= !isBookmark && type !== "problem";
    if (this.#advanced) this.#failures = 0;
  }

  // A connection whose other end has vanished can be distinguished from a quiet one only by the
  // missing heartbeats. A slow connection that brings a large event looks the same, since an
  // EventSource shows no part of an event. So each connection gets twice as long as the one before,
  // up to a bound.
  #listenForSilence(attempt) {
    clearTimeout(this.#silence);
    const broken = () => {
      this.#silences++;
      this.#failed(new StreamError("nothing was heard for too long"), attempt);
    };
    const wait = this.#options.idleTimeout() * 2 ** Math.min(this.#silences, 4);
    this.#silence = setTimeout(broken, Math.min(wait, LONGEST_TIMEOUT));
  }

  #failed(error, attempt) {
    if (this.#closed || attempt !== this.#attempt) return;
    this.#begin();
    if (error.permanent && this.#options.mayRetry?.(error)) error.permanent = false;
    if (error.permanent) {
      this.#closed = true;
      return this.#options.onDown(error);
    }
    const wait = Math.min(Math.max(this.#delay(), error.retryAfter ?? 0), LONGEST_TIMEOUT);
    this.#failures++;
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#options.onDown(error, wait);
  }

  // The delay doubles with every attempt that brought nothing. It is spread, so that not all
  // clients come at once to a gateway that is back.
  #delay() {
    const longest = Math.max(this.#options.maxRetry, this.#retry);
    const wait = Math.min(this.#retry * 2 ** Math.min(this.#failures, 16), longest);
    return wait * (0.75 + Math.random() / 2);
  }
}
