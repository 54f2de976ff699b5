/** A client of one gateway. */
import { absolute } from "./address.js";
import { Bucket, type BucketOptions } from "./bucket.js";
import type { StreamOptions } from "./connection.js";
import { Problem } from "./problem.js";
import {
  credential, sender, type ClientOptions, type RequestOptions, type Send,
} from "./request.js";
import type { TicketSource } from "./tickets.js";

/** How a client reaches the gateway, and who it is. */
export interface CreateClientOptions extends ClientOptions {
  /**
   * `true` opens streams with tickets, which the client makes with its token or headers. Else where
   * tickets for streams come from: a function that gets one from the page's own server, or one.
   * Without it, streams have the token or the headers.
   */
  ticket?: true | Exclude<TicketSource, { headers: unknown }> | undefined;
  /** How streams are opened and kept. */
  stream?:
    | Pick<StreamOptions, "retry" | "maxRetry" | "idleTimeout" | "now">
    | undefined;
}

export class Client {
  /** The gateway's address; its path ends with a slash. */
  readonly url: URL;
  /** @internal */ readonly _stream: StreamOptions;
  #send: Send;

  /** @internal */
  constructor(options: CreateClientOptions) {
    this.url = absolute(options.url);
    if (!this.url.pathname.endsWith("/")) this.url.pathname += "/";
    this.#send = sender(this.url, options);
    const { ticket, fetch, withCredentials, stream } = options;
    const headers = credential(options);
    const given =
      ticket === true
        ? { ticket: { headers, url: new URL("tickets", this.url) } }
        : ticket ? { ticket } : { headers };
    this._stream = { fetch, withCredentials, ...stream, ...given };
  }

  /** A bucket, which need not exist yet. */
  bucket<T = unknown>(name: string, options: BucketOptions<T> = {}): Bucket<T> {
    return new Bucket<T>(this, name, options);
  }

  /**
   * Makes a request of the contract that the client has no method for, relative to the gateway's
   * address, and returns the answer as it comes. Rejects with a {@link Problem} if it is refused.
   */
  request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    return this.#send(method, path, options, (response) => response);
  }

  /** @internal */
  _json<R>(method: string, path: string, options: RequestOptions): Promise<R> {
    return this.#send(method, path, options, async (response) => {
      const text = await response.text();
      try {
        return JSON.parse(text) as R;
      } catch (cause) {
        throw new Problem("the answer is not the gateway's", { status: response.status, cause });
      }
    });
  }
}

/** Makes a client of the gateway at an address. */
export const createClient = (options: CreateClientOptions): Client => new Client(options);
