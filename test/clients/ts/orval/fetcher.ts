// The fetcher of the client that orval makes: the `mutator` of orval.config.mjs. orval's own knows
// no base URL, reads a problem that answers getValue as a Blob, and does not fail for a status.
import { baseUrl, Refusal, type Problem } from "../scenario";

/** Sends a request. A value is answered as a Blob, and everything else as JSON. */
export async function fetcher<T>(path: string, options: RequestInit): Promise<T> {
  const response = await fetch(baseUrl + path, options);
  if (!response.ok) throw new Refusal(response.status, (await response.json()) as Problem);
  const isValue = /^\/buckets\/[^/]+\/keys\/[^?]/.test(path) && options.method === "GET";
  const data = isValue ? await response.blob() : await json(response);
  return { data, status: response.status, headers: response.headers } as T;
}

async function json(response: Response): Promise<unknown> {
  const text = await response.text();
  return text ? JSON.parse(text) : undefined;
}
