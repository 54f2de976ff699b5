/** The digest of a bucket's state, by which a live map and the gateway compare what they hold. */
import type { Entry } from "./entry.js";
/**
 * The digest of entries: how many there are that do not expire, and the sum, modulo 2^64, of a hash
 * of each: FNV-1a (64 bit) of `<key>\n<revision>`. Entries that expire are left out, since two
 * machines do not drop them at the same moment.
 */
export declare function digestOf(entries: Iterable<Pick<Entry, "key" | "revision" | "expires">>): string;
