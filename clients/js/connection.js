/**
 * Keeps one event stream connected, by EventSource or by fetch, from the last event id on.
 */
import { EventStreamParser } from "./sse.js";

const EVENTS = [
  "message", "put", "delete", "purge", "expire", "sync", "reset", "stale", "live",
  "bucket-deleted", "goaway", "problem", "bookmark",
];

/** What a timer can hold, in milliseconds; a longer one would fire at once. */
export const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** Causes that another attempt will not mend. The others of 4xx say themselves that they pass. */
export const isPermanent = (status) => status >= 400 && status < 500 && ![408, 425, 429].includes(status);

/** Why a stream was refused: the gateway's problem document, where there is one. */
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

async function refusal(response) {
  const type = response.headers.get("content-type") ?? "";
  let problem;
  if (type.startsWith("application/problem+json")) problem = await response.json().catch(() => undefined);
  const retryAfter = Number(response.headers.get("retry-after")) * 1000 || undefined; // a date counts as none
  const message = problem?.detail ?? problem?.title ?? `${response.status} ${response.statusText}`;
  return new StreamError(message, { status: response.status, problem, retryAfter });
}

export class Connection {
  /** The position to go on from; "" before the first. */
  lastEventId;

  #options;
  #url;
  #failures = 0; // attempts in a row that brought no event
  #retry; // what the gateway asks to wait, in milliseconds
  #source = null; // the EventSource
  #abort = null; // ends the fetch
  #attempt = 0; // so that what is left of an earlier attempt changes nothing
  #timer; // to the next attempt
  #silence; // to giving up on a connection that says nothing
  #silences = 0; // connections that were given up for that since the last bookmark
  #closed = false;

  /**
   * @param {object} options
   * @param {string | (() => string | Promise<string>)} options.url
   * @param {typeof EventSource | null} options.EventSource null to use fetch
   * @param {typeof fetch} options.fetch
   * @param {(() => unknown) | undefined} options.headers asked before every connection
   * @param {boolean} options.withCredentials
   * @param {number} options.retry milliseconds, until the gateway says otherwise
   * @param {number} options.maxRetry
   * @param {() => number} options.idleTimeout milliseconds of silence after which a connection counts as broken
   * @param {string} options.lastEventId
   * @param {(lastEventId: string) => void} options.onConnecting
   * @param {(event: import("./sse.js").ServerSentEvent) => void} options.onEvent
   * @param {() => void} options.onOpen
   * @param {(error: Error, retryIn?: number) => void} options.onDown without retryIn: it reconnects by itself, or not at all
   */
  constructor(options) {
    this.#options = options;
    this.#url = options.url;
    this.#retry = options.retry;
    this.lastEventId = options.lastEventId;
  }

  async connect() {
    const attempt = this.#begin();
    this.#listenForSilence(attempt); // what a page does for a url or for headers may never end
    try {
      const url = new URL(typeof this.#url === "function" ? await this.#url() : this.#url, globalThis.location?.href);
      if (attempt !== this.#attempt) return;
      this.#options.onConnecting(this.lastEventId);
      this.#listenForSilence(attempt);
      if (this.#options.EventSource) this.#byEventSource(url, attempt);
      else await this.#byFetch(url, attempt);
    } catch (error) {
      const known = error instanceof Error; // what a page's url or headers throw may be anything
      this.#failed(known ? error : new StreamError("no connection was begun", { cause: error }), attempt);
    }
  }

  close() {
    this.#closed = true;
    this.#begin();
  }

  /** Ends whatever goes on, so that nothing of it is heard any more. */
  #begin() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#abort?.abort();
    this.#source = this.#abort = null;
    return ++this.#attempt;
  }

  #byEventSource(url, attempt) {
    // A browser sends the Last-Event-ID header by itself, but only for an EventSource that had one before.
    if (this.lastEventId !== "") url.searchParams.set("last_event_id", this.lastEventId);
    const source = new this.#options.EventSource(url.href, { withCredentials: this.#options.withCredentials });
    this.#source = source;
    source.onopen = () => this.#opened(attempt);
    const take = ({ type, data, lastEventId: id }) => this.#take({ type, data, id }, attempt);
    for (const name of EVENTS) source.addEventListener(name, take);
    source.onerror = () => {
      if (attempt !== this.#attempt) return;
      const lost = new StreamError("the connection was lost");
      if (source.readyState === source.CLOSED) this.#askWhy(url, attempt); // it never comes back by itself
      else if (typeof this.#url === "function") this.#failed(lost, attempt); // its url has to be asked for again
      else {
        this.#options.onDown(lost);
        if (attempt !== this.#attempt) return;
        this.#options.onConnecting(this.lastEventId);
        this.#listenForSilence(attempt);
      }
    };
  }

  // An EventSource does not tell the status that closed it. Whether it is worth trying again does depend on it, so it is asked
  // for once more.
  async #askWhy(url, attempt) {
    let error = new StreamError("the stream was refused");
    if (this.lastEventId !== "") url.searchParams.set("last_event_id", this.lastEventId); // it may have come further
    const abort = (this.#abort = new AbortController());
    try {
      const credentials = this.#options.withCredentials ? "include" : "same-origin";
      const headers = { Accept: "text/event-stream" };
      const response = await this.#options.fetch(url, { headers, credentials, cache: "no-store", signal: abort.signal });
      if (!response.ok) error = await refusal(response);
    } catch {
      // not reachable: that passes
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
      this.lastEventId = parser.lastEventId; // a block without data moves it too
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
      // Not understood, so not known: from the last id that was, once more.
      return this.#failed(error, attempt);
    }
    if (attempt !== this.#attempt) return;
    if (event.type !== "problem") this.#failures = 0;
    if (event.type === "bookmark") this.#silences = 0; // it comes when nothing is left on the way
    this.lastEventId = event.id;
  }

  // A connection whose other end vanished without a word looks like a quiet one, but for the heartbeats. So does one that is slow and brings
  // a large event, of which an EventSource shows no part: it gets twice as long each time, up to a bound.
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
    if (error.permanent) {
      this.#closed = true;
      return this.#options.onDown(error);
    }
    const wait = Math.min(Math.max(this.#delay(), error.retryAfter ?? 0), LONGEST_TIMEOUT);
    this.#failures++;
    this.#timer = setTimeout(() => this.connect(), wait);
    this.#options.onDown(error, wait);
  }

  // Twice as long with every attempt that brought nothing, and spread, so that a gateway that comes back is not met by all at once.
  #delay() {
    const longest = Math.max(this.#options.maxRetry, this.#retry);
    const wait = Math.min(this.#retry * 2 ** Math.min(this.#failures, 16), longest);
    return wait * (0.75 + Math.random() / 2);
  }
}
