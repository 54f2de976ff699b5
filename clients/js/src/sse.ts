/**
 * The wire format of Server-Sent Events (HTML Standard, §9.2.6).
 */

/** One event, as an EventSource would dispatch it. */
export interface ServerSentEvent {
  /** The `event:` field, "message" where there is none. */
  type: string;
  /** The `data:` lines, joined with line feeds. */
  data: string;
  /** The last event id once this event has been taken. */
  id: string;
}

/** What a parser calls as a stream comes in. */
export interface EventStreamCallbacks {
  _event: (event: ServerSentEvent) => void;
  /** The server's `retry:` field. */
  _retry?: (milliseconds: number) => void;
}

/**
 * Parses one response body in chunks that may end anywhere: in the middle of a character, of a
 * CRLF, or of a field. A block that the end of the stream cuts off is dropped, and its id too, so
 * that the next connection requests it again.
 */
export class EventStreamParser {
  /** The id to send with the next request. A block without data changes it as well: a bookmark. */
  _lastEventId: string;

  // It strips one byte order mark, as the standard demands, and replaces what is not UTF-8 by
  // U+FFFD.
  #decoder = new TextDecoder();
  #line = ""; // The beginning of a line whose end has not come.
  #afterCR = false; // The last chunk ended with CR, to which an LF of the next one belongs.
  #type = "";
  #data = "";
  #id: string;
  #callbacks: EventStreamCallbacks;

  /**
   * @param lastEventId the id that was sent with the request; it is valid until the stream names
   *     another
   */
  constructor(callbacks: EventStreamCallbacks, lastEventId = "") {
    this.#callbacks = callbacks;
    this._lastEventId = this.#id = lastEventId;
  }

  _push(chunk: Uint8Array): void {
    let text = this.#decoder.decode(chunk, { stream: true });
    if (text === "") return;
    if (this.#afterCR && text[0] === "\n") text = text.slice(1);
    this.#afterCR = text.endsWith("\r");
    const lines = text.split(/\r\n?|\n/);
    const rest = lines.pop()!;
    for (const line of lines) {
      this.#take(this.#line + line);
      this.#line = "";
    }
    this.#line += rest;
  }

  /** Takes a line without its end. */
  #take(line: string): void {
    if (line === "") return this.#dispatch();
    // A comment has an empty field.
    const [, field, value] = /^([^:]*):? ?(.*)/s.exec(line) as unknown as [string, string, string];
    if (field === "data") this.#data += value + "\n";
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#callbacks._retry?.(Number(value));
  }

  #dispatch(): void {
    const type = this.#type || "message";
    const data = this.#data;
    this.#type = this.#data = "";
    this._lastEventId = this.#id;
    if (data !== "") this.#callbacks._event({ type, data: data.slice(0, -1), id: this.#id });
  }
}
