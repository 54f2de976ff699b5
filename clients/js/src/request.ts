/** Requests: their credentials and time limits, and when they are sent again. */
import { withQuery } from "./address.js";
import { Problem, isTransient, refusal, unknown } from "./problem.js";

/** Headers, or a function that is called for each request. */
export type HeadersSource = HeadersInit | (() => HeadersInit | Promise<HeadersInit>);

/** How a client reaches the gateway. */
export interface ClientOptions {
  /** The address of the gateway, with its base path if it has one. */
  url: string | URL;
  /** A bearer token. A function is called for each request. */
  token?: string | (() => string | Promise<string>) | undefined;
  /** Headers of each request, instead of a token. A function is called for each request. */
  headers?: HeadersSource | undefined;
  /** Default: globalThis.fetch. */
  fetch?: typeof fetch | undefined;
  /** Whether to send cookies to another origin too. */
  withCredentials?: boolean | undefined;
  /** After how many milliseconds without an answer a request is given up. Default: 30000. */
  timeout?: number | undefined;
  /** How often a request is sent again where that is safe. Default: 3. */
  retries?: number | undefined;
}

/** One request, relative to the gateway's address. */
export interface RequestOptions {
  /** Parameters; those that are undefined are left out, and each of a list is given. */
  query?: Record<string, unknown> | undefined;
  headers?: Record<string, string | undefined> | undefined;
  body?: BodyInit | undefined;
  /** Gives the request up. A change may have been made all the same. */
  signal?: AbortSignal | undefined;
  timeout?: number | undefined;
  /** How often it is sent again where that is safe; Infinity: until there is an answer. */
  retries?: number | undefined;
}

/** Sends a request until it has a result, and reads the answer. */
export type Send = <R>(
  method: string,
  path: string,
  options: RequestOptions,
  read: (response: Response) => Promise<R> | R,
) => Promise<R>;

/** No request is sent again after so many milliseconds: the gateway may have forgotten its key. */
const RESEND_WITHIN = 60_000;

/** The first wait before a request is sent again, in milliseconds. It doubles. */
const FIRST_WAIT = 250;

const LONGEST_WAIT = 30_000;

type Timer = ReturnType<typeof setTimeout>;

/** Waits, unless the signal ends it. */
export async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  let [timer, leave]: [Timer?, (() => void)?] = [];
  await new Promise<void>((done) => {
    timer = setTimeout(done, milliseconds);
    leave = onAbort(signal, done);
  });
  clearTimeout(timer);
  leave!();
  signal?.throwIfAborted();
}

/** Calls a function once a signal is aborted, until the result is called. */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal?.aborted) act();
  signal?.addEventListener("abort", act);
  // The signal may live longer, and would keep what the function refers to in memory.
  return () => signal?.removeEventListener("abort", act);
}

/** A key for Idempotency-Key that no other request has. */
export const newKey = (): string =>
  Date.now().toString(36) + Math.random().toString(36).slice(2);

/** Returns a value, or what a function in its place returns. */
export const given = async <V>(source: V | (() => V | Promise<V>)): Promise<V> =>
  typeof source === "function" ? (source as () => V | Promise<V>)() : source;

/** Makes headers of what a page gave, and of those of `more` that are defined. */
export async function headersOf(
  source: HeadersSource | undefined,
  more: Record<string, string | undefined> = {},
): Promise<Headers> {
  const headers = new Headers(await given(source));
  for (const [name, value] of Object.entries(more)) {
    if (value !== undefined) headers.set(name, value);
  }
  return headers;
}

/** Returns a function that makes the headers with the client's credential. */
export const credential =
  ({ token, headers }: ClientOptions): (() => Promise<Headers>) =>
  async () => {
    const bearer = await given(token);
    return headersOf(headers, {
      Authorization: bearer === undefined ? undefined : `Bearer ${bearer}`,
    });
  };

/** Sends one request, whose answer no cache has. Rejects with an error of a kind if refused. */
export async function request(
  { fetch, withCredentials }: Pick<ClientOptions, "fetch" | "withCredentials">,
  url: URL,
  init: RequestInit,
  Kind: typeof Problem,
): Promise<Response> {
  const response = await (fetch ?? globalThis.fetch)(url, {
    ...init,
    cache: "no-store",
    credentials: withCredentials ? "include" : "same-origin",
  });
  if (!response.ok) throw await refusal(response, Kind);
  return response;
}

// Whether nothing was done: the gateway says so, or a proxy refused the request, or, as far as
// Node.js tells, there was no connection.
function isUndone({ code, status, problem, cause }: Problem): boolean {
  if (problem) return code !== "outcome-unknown" && code !== "internal";
  if (status !== undefined) return status >= 400 && status < 500;
  return (cause as { cause?: { code?: string } })?.cause?.code === "ECONNREFUSED";
}

/** Makes the function with which a client sends its requests. */
export function sender(base: URL, options: ClientOptions): Send {
  const credentials = credential(options);

  async function once<R>(...[method, path, sent, read]: Parameters<Send>): Promise<R> {
    const url = withQuery(new URL(path, base), sent.query);
    const headers = await headersOf(credentials, sent.headers);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), sent.timeout ?? options.timeout ?? 30_000);
    try {
      const { body = null } = sent;
      const signal = AbortSignal.any([late.signal, sent.signal ?? late.signal]);
      const init = { method, headers, body, signal };
      return (await read(await request(options, url, init, Problem))) as R;
    } catch (cause) {
      sent.signal?.throwIfAborted();
      if (cause instanceof Problem) throw cause;
      throw new Problem(`${base.origin} did not answer`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  return async (method, path, sent, read) => {
    const until = Date.now() + RESEND_WITHIN;
    const reads = method === "GET" || method === "HEAD";
    const mayRepeat = reads || sent.headers?.["Idempotency-Key"] !== undefined;
    const { retries = options.retries ?? 3, signal } = sent;
    let doubt = false; // An attempt may have made the change.
    for (let attempt = 0; ; attempt++) {
      try {
        return await once(method, path, sent, read);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        const undone = isUndone(error);
        doubt ||= !reads && !undone;
        const growing = Math.min(FIRST_WAIT * 2 ** attempt, LONGEST_WAIT) * (0.5 + Math.random());
        const wait = Math.max(error.retryAfter ?? 0, growing);
        const isOver = attempt >= retries || (retries < Infinity && Date.now() + wait > until);
        if (isOver || !isTransient(error) || !(mayRepeat || undone)) {
          throw doubt ? unknown(error) : error;
        }
        await sleep(wait, signal);
      }
    }
  };
}
