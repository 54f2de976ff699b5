// Takes the place of the function with which the client of openapi-typescript-codegen sends its
// requests (`--request`). Its own reads every value as text or JSON, which loses bytes that are not
// UTF-8, and sends every value as application/octet-stream.
import { ApiError } from "./ApiError";
import type { ApiRequestOptions } from "./ApiRequestOptions";
import { CancelablePromise } from "./CancelablePromise";
import type { OpenAPIConfig } from "./OpenAPI";

/** Sends a request. A value is answered as a Blob, and everything else as JSON. */
export function request<T>(config: OpenAPIConfig, options: ApiRequestOptions): CancelablePromise<T> {
  return new CancelablePromise((resolve, reject) => {
    send(config, options).then((body) => resolve(body as T), reject);
  });
}

async function send(config: OpenAPIConfig, options: ApiRequestOptions): Promise<unknown> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (value !== undefined) headers.set(name, String(value));
  }
  const { body } = options;
  if (!(body instanceof Blob) && options.mediaType) headers.set("Content-Type", options.mediaType);
  const response = await fetch(config.BASE + target(options), {
    method: options.method,
    headers,
    body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
  });
  const isValue = options.url === "/buckets/{bucket}/keys/{key}" && options.method === "GET";
  const answer = response.ok && isValue ? await response.blob() : await json(response);
  if (!response.ok) {
    const { url, status, statusText } = response;
    const result = { url, ok: false, status, statusText, body: answer };
    throw new ApiError(options, result, `${status} ${statusText}`);
  }
  return answer;
}

/** The path and query of a request. */
function target({ url, path, query }: ApiRequestOptions): string {
  const filled = url.replace(/{(\w+)}/g, (_, name: string) => encodeURIComponent(String(path?.[name])));
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) parameters.append(name, String(one));
  }
  return parameters.size ? `${filled}?${parameters}` : filled;
}

async function json(response: Response): Promise<unknown> {
  const text = await response.text();
  return text ? JSON.parse(text) : undefined;
}
