/**
 * The wire format of Server-Sent Events (HTML Standard, §9.2.6), for where no EventSource exists or a header is needed.
 *
 * @typedef {object} ServerSentEvent
 * @property {string} type  the `event:` field, "message" where there is none
 * @property {string} data  the `data:` lines, joined with line feeds
 * @property {string} id    the last event id once this event has been taken
 */

/**
 * Parses one response body, given in chunks that may end anywhere: in the middle of a character, of a CRLF, of a field.
 * A block that the stream's end cuts off is dropped, its id too, so that the next connection asks for it again.
 */
export class EventStreamParser {
  /** The id to send when connecting again. A block without data moves it as well: that is what a bookmark is. */
  lastEventId;

  #decoder = new TextDecoder(); // strips one byte order mark, as the standard asks, and makes U+FFFD of what is not UTF-8
  #line = ""; // the beginning of a line whose end has not come
  #afterCR = false; // the last chunk ended with CR: an LF that begins the next one belongs to it
  #type = "";
  #data = "";
  #id;
  #onEvent;
  #onRetry;

  /**
   * @param {object} callbacks
   * @param {(event: ServerSentEvent) => void} callbacks.onEvent
   * @param {(milliseconds: number) => void} [callbacks.onRetry]
   * @param {string} [lastEventId] the id that the request was made with; it holds until the stream names another
   */
  constructor({ onEvent, onRetry = () => {} }, lastEventId = "") {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
    this.lastEventId = this.#id = lastEventId;
  }

  /** @param {Uint8Array} chunk */
  push(chunk) {
    let text = this.#decoder.decode(chunk, { stream: true });
    if (text === "") return;
    if (this.#afterCR && text[0] === "\n") text = text.slice(1);
    this.#afterCR = false;

    let start = 0;
    for (let i = 0; i < text.length; i++) {
      const char = text[i];
      if (char !== "\n" && char !== "\r") continue;
      this.#take(this.#line + text.slice(start, i));
      this.#line = "";
      if (char === "\r") {
        if (i + 1 === text.length) this.#afterCR = true;
        else if (text[i + 1] === "\n") i++;
      }
      start = i + 1;
    }
    this.#line += text.slice(start);
  }

  /** @param {string} line without its end */
  #take(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);

    if (field === "data") this.#data += value + "\n";
    else if (field === "event") this.#type = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.#onRetry(Number(value));
  }

  #dispatch() {
    const type = this.#type || "message";
    const data = this.#data;
    this.#type = this.#data = "";
    this.lastEventId = this.#id;
    if (data !== "") this.#onEvent({ type, data: data.slice(0, -1), id: this.#id });
  }
}
