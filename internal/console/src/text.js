/** Texts: the bytes of values as text and back, JSON as it is written, differences and merges. */

/** The text that bytes are, or undefined if they are not UTF-8. A byte order mark stays. */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined; // They are not text, which is no error.
  }
}

export const bytesOf = (text) => new TextEncoder().encode(text);

export function ofBase64(text) {
  const chars = atob(text);
  const bytes = new Uint8Array(chars.length);
  for (let i = 0; i < chars.length; i++) bytes[i] = chars.charCodeAt(i);
  return bytes;
}

/** What is wrong with a JSON text, if something is. */
export function jsonMistake(text) {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return error.message;
  }
}

/**
 * Indents a JSON text. It moves spaces only: numbers, strings and the order of members stay as they
 * are written, which parsing them and writing them again would not do.
 */
export function indent(text) {
  const out = [];
  let depth = 0;
  let isOpen = false; // The last token was the beginning of an object or array.
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === "}" || token === "]") {
      depth--;
      if (isOpen) out.pop(); // The line that was begun for what does not come.
      else out.push(line());
    }
    out.push(token === ":" ? ": " : token);
    isOpen = token === "{" || token === "[";
    if (isOpen) depth++;
    if (isOpen || token === ",") out.push(line());
  }
  return out.join("");
}

/** No more than so many pairs of lines are compared; beyond that, texts differ as a whole. */
const MOST_PAIRS = 4_000_000;

/** For each line of `a` the line of `b` that it is, or -1; the pairs rise. */
function pairs(a, b) {
  const found = new Array(a.length).fill(-1);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) found[start] = start++;
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) found[--endA] = --endB;
  const [rows, columns] = [endA - start, endB - start];
  if (rows * columns === 0 || rows * columns > MOST_PAIRS) return found;
  const width = columns + 1;
  const lengths = new Uint32Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      lengths[i * width + j] = a[start + i] === b[start + j]
        ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < rows && j < columns;) {
    if (a[start + i] === b[start + j]) found[start + i++] = start + j++;
    else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i++;
    else j++;
  }
  return found;
}

/** The lines of two texts, each with `-`, `+` or a space for both. */
export function difference(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  const found = pairs(a, b);
  const lines = [];
  let j = 0;
  for (let i = 0; i < a.length; i++) {
    if (found[i] < 0) lines.push({ mark: "-", text: a[i] });
    else {
      while (j < found[i]) lines.push({ mark: "+", text: b[j++] });
      lines.push({ mark: " ", text: b[j++] });
    }
  }
  while (j < b.length) lines.push({ mark: "+", text: b[j++] });
  return lines;
}

/** So many lines that are alike are shown before and after each that differs. */
const CONTEXT = 3;

/** So many lines, and characters of each, are shown at most. */
const MOST_LINES = 2000;
const MOST_CHARACTERS = 10_000;

/**
 * The differing lines of two texts and those around them; `{ skipped: n }` stands for others, and
 * what is too long to be shown is cut and says so.
 */
export function shortDifference(before, after) {
  const lines = difference(before, after);
  const near = new Uint8Array(lines.length);
  lines.forEach(({ mark }, i) => {
    if (mark !== " ") near.fill(1, Math.max(0, i - CONTEXT), i + CONTEXT + 1);
  });
  if (!near.includes(1)) near.fill(1); // They are alike: all of it is shown.
  const shown = [];
  let skipped = 0;
  const gap = () => { if (skipped > 0) shown.push({ skipped }); };
  lines.forEach((line, i) => {
    if (!near[i] || shown.length >= MOST_LINES) return skipped++;
    gap();
    skipped = 0;
    return shown.push({ ...line, text: shortened(line.text) });
  });
  gap();
  return shown;
}

/** The beginning of a text that is too long to be shown. */
export const shortened = (text, most = MOST_CHARACTERS) => (text.length <= most ? text
  : `${text.slice(0, most)} … and ${(text.length - most).toLocaleString("en-US")} more characters`);

const same = (a, b) => a.length === b.length && a.every((line, i) => line === b[i]);

/**
 * Merges two changes of a text line by line. Returns parts in order: `lines` where at most one of
 * the two changed something, else `yours`, `theirs` and `base`.
 */
export function merge(base, yours, theirs) {
  const [o, a, b] = [base, yours, theirs].map((text) => text.split("\n"));
  const [inA, inB] = [pairs(o, a), pairs(o, b)];
  const parts = [];
  let [i, j, k] = [0, 0, 0];
  while (i < o.length || j < a.length || k < b.length) {
    let next = i;
    while (next < o.length && (inA[next] < 0 || inB[next] < 0)) next++;
    const [toA, toB] = next < o.length ? [inA[next], inB[next]] : [a.length, b.length];
    const [ofO, ofA, ofB] = [o.slice(i, next), a.slice(j, toA), b.slice(k, toB)];
    if (same(ofA, ofO) || same(ofA, ofB)) parts.push({ lines: ofB });
    else if (same(ofB, ofO)) parts.push({ lines: ofA });
    else parts.push({ yours: ofA, theirs: ofB, base: ofO });
    if (next < o.length) parts.push({ lines: [o[next]] });
    [i, j, k] = [next + 1, toA + 1, toB + 1];
  }
  return parts;
}

/** The first bytes as hexadecimal lines with their offsets and letters. */
export function hex(bytes, most = 4096) {
  const lines = [];
  for (let at = 0; at < Math.min(bytes.length, most); at += 16) {
    const row = [...bytes.subarray(at, Math.min(at + 16, most))];
    const letters = row.map((n) => (n >= 32 && n < 127 ? String.fromCharCode(n) : ".")).join("");
    const digits = row.map((n) => n.toString(16).padStart(2, "0")).join(" ");
    lines.push(`${at.toString(16).padStart(8, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  return lines.join("\n");
}

/** Reads the lines of an answer as they come. */
export async function* linesOf(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      yield* lines;
    }
    if (rest) yield rest;
  } finally {
    await reader.cancel();
  }
}
