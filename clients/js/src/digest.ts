/** The digest of a bucket's state, by which a live map and the gateway compare what they hold. */
import type { Entry } from "./entry.js";

const HALF = 2 ** 32;

/**
 * The digest of entries: how many there are that do not expire, and the sum, modulo 2^64, of a hash
 * of each: FNV-1a (64 bit) of `<key>\n<revision>`. Entries that expire are left out, since two
 * machines do not drop them at the same moment.
 */
export function digestOf(entries: Iterable<Pick<Entry, "key" | "revision" | "expires">>): string {
  let keys = 0;
  let [high, low] = [0, 0];
  for (const { key, revision, expires } of entries) {
    if (expires !== undefined) continue;
    const [hashHigh, hashLow] = fnv1a(`${key}\n${revision}`);
    low += hashLow;
    high = (high + hashHigh + (low >= HALF ? 1 : 0)) % HALF;
    low %= HALF;
    keys++;
  }
  return `${keys}-${hex(high)}${hex(low)}`;
}

const hex = (half: number): string => half.toString(16).padStart(8, "0");

// The hash is kept in two halves of 32 bits, and multiplied in quarters: BigInts are fifty times
// slower. A key has ASCII characters only. The prime of FNV is 2^40 + 435.
function fnv1a(text: string): [high: number, low: number] {
  let [high, low] = [0xcbf29ce4, 0x84222325];
  for (let i = 0; i < text.length; i++) {
    low ^= text.charCodeAt(i);
    const first = (low & 0xffff) * 435;
    const second = (low >>> 16) * 435 + (first >>> 16);
    high = (Math.imul(high, 435) + (second >>> 16) + (low << 8)) | 0;
    low = (second << 16) | (first & 0xffff);
  }
  return [high >>> 0, low >>> 0];
}
