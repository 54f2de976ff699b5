/** Addresses: of the gateway, of buckets and keys, of a position, and of a ticket's watches. */

/** Where something stands: a revision of one life of a bucket. */
export interface Position {
  readonly revision: number;
  /** The life of the bucket that the revision belongs to. */
  readonly epoch: string;
}

/** Resolves an address against the page's, where there is a page. */
export function absolute(address: string | URL): URL {
  try {
    return new URL(address, globalThis.location?.href);
  } catch (cause) {
    throw new TypeError(
      `"${address}" is relative, and there is no page: give a full URL`,
      { cause },
    );
  }
}

/** Adds parameters to a url; those that are undefined are left out, and a list is repeated. */
export function withQuery(url: URL, query: Record<string, unknown> = {}): URL {
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) url.searchParams.append(name, String(one));
    }
  }
  return url;
}

/** The path of a bucket, relative to the gateway's address. */
export function bucketPath(bucket: string): string {
  if (!/^[\w-]+$/.test(bucket)) {
    throw new TypeError(`"${bucket}" is no bucket's name: use letters, digits, _ and -`);
  }
  return `buckets/${bucket}`;
}

/**
 * The path of a key below `keys`, `entries` or `history`. A browser would resolve the segments "."
 * and ".." of a URL, so a key that is one of these goes into the query, and the gateway refuses it.
 */
export const keyPath = (key: string): string =>
  /^\.{0,2}$/.test(key) ? `~?key=${key}` : encodeURIComponent(key);

/** An entity tag. A text and a number are taken as they are, as `"*"` and `42` are. */
export const tagOf = (tag: string | number | Position | undefined): string | undefined =>
  typeof tag === "object" ? `"${tag.revision}-${tag.epoch}"` : tag?.toString();

/** What a stream follows, as POST /tickets takes it: `<bucket>:<filter>`, or `<bucket>`. */
export function watchesOf(url: URL): string[] {
  const watches = url.searchParams.getAll("watch");
  if (watches.length > 0) return watches;
  const bucket = url.pathname.split("/").at(-2)!;
  const filters = url.searchParams.getAll("filter");
  return filters.length === 0 ? [bucket] : filters.map((filter) => `${bucket}:${filter}`);
}

/** The epoch in the id of a stream, "" if there is none. `bucket` chooses one of several. */
export const epochOf = (id: string, bucket: string): string =>
  RegExp(`(?:^|,)(?:${bucket}=)?[\\d.]+-([0-9a-z]+)(?![\\w-]*=)`).exec(id)?.[1] ?? "";

/**
 * Reports whether one position is at or after another. An epoch is the time in microseconds at
 * which the bucket was created, in base 36, so a later life of the bucket is after an earlier one.
 */
export function reaches(at: Position, other: Position): boolean {
  if (at.epoch === other.epoch) return at.revision >= other.revision;
  return parseInt(at.epoch, 36) > parseInt(other.epoch, 36);
}

const UNITS: Record<string, number> =
  { h: 3600_000, m: 60_000, s: 1000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };

/** Milliseconds of a Go duration, such as "1m30s". */
export function milliseconds(duration: string): number {
  let sum = 0;
  for (const [, number, unit] of duration.matchAll(/([\d.]+)([a-zµ]+)/g)) {
    sum += Number(number) * (UNITS[unit!] ?? 0);
  }
  return sum;
}

/** A Go duration. A number is of milliseconds. */
export const durationOf = (time: string | number | undefined): string | undefined =>
  typeof time === "number" ? `${time}ms` : time;
