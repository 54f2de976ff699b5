/** What the page knows of values: their text, type and line ends, and how long they live. */

export const TEXT = "text/plain; charset=utf-8";

// The page asks for the bytes of values, which it shows as they are stored. JSON.parse would change
// integers above 2^53, and the form would store them so.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Returns the text of an entry, undefined if its value is no text. */
export function textIn({ value }) {
  try {
    return decoder.decode(value);
  } catch {
    return undefined;
  }
}

/** Reports whether a content type is that of JSON. */
export const ofJSON = (contentType) =>
  /^application\/(json|[^;]*\+json)\s*(;|$)/i.test(contentType ?? "");

/** Reports whether a text is JSON. */
export function isJSON(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const END = /\r\n|\r|\n/;

/**
 * Gives the lines of a textarea, which has no end of a line but "\n", the ends that they have in
 * the text that was put into it. Lines that were not there get the first end of that text.
 */
export function withLineEnds(edited, original) {
  const ends = original.match(new RegExp(END, "g")) ?? [];
  const before = original.split(END);
  const lines = edited.split("\n");
  const fewest = Math.min(before.length, lines.length);
  let head = 0; // So many lines at the beginning are as they were,
  while (head < fewest && lines[head] === before[head]) head++;
  let tail = 0; // and so many at the end.
  while (tail < fewest - head && lines.at(-1 - tail) === before.at(-1 - tail)) tail++;
  return lines
    .map((line, i) => {
      const following = lines.length - 1 - i;
      if (following === 0) return line;
      if (i < head) return line + (ends[i] ?? ends[0] ?? "\n");
      return line + ((following <= tail && ends.at(-following)) || ends[0] || "\n");
    })
    .join("");
}

const UNITS = { h: 3600_000, m: 60_000, s: 1000, ms: 1 };

/** Milliseconds of a Go duration, such as "1m30s". */
export function milliseconds(text) {
  let sum = 0;
  for (const [, number, unit] of text.matchAll(/([0-9.]+)(h|ms|m|s)/g)) sum += number * UNITS[unit];
  return sum;
}

/**
 * Reports whether an entry has a time to live of its own, in a bucket with this configuration. The
 * bucket's begins anew with each write.
 */
export function expiresByItself({ created, expires }, { limit_marker_ttl: markers, ttl }) {
  if (!expires || !milliseconds(markers ?? "0s")) return false;
  const life = Date.parse(expires) - Date.parse(created);
  return Math.abs(life - milliseconds(ttl ?? "0s")) >= 1000;
}

/** The shortest time to live that a bucket takes, as a Go duration. */
export function shortestLife({ history, limit_marker_ttl: markers }) {
  return history === 1 || milliseconds(markers) < 1000 ? "1s" : markers;
}
