/** What a page sees of buckets, beside what their streams have told. */
import type { Entry } from "./entry.js";
import type { Change } from "./state.js";
/**
 * The Map of a page, in which the entries of some keys are local changes. The entries that the
 * streams have told of these keys are held back, and read and changed here; of every other key, the
 * page's Map has what was told.
 */
export declare class View<T> {
    #private;
    /** What the page sees. It is always the same object. */
    readonly _map: Map<string, Entry<T>>;
    /** Returns what was told of a key. */
    get(key: string): Entry<T> | undefined;
    /** Notes what was told of a key, undefined if it has no value, and returns the difference. */
    _tell(key: string, entry?: Entry<T>): Change<T>;
    /** Whether a local change of a key is shown. */
    _isHeld(key: string): boolean;
    /** Shows a local change of a key until it is released. */
    _hold(key: string, entry: Entry<T> | undefined): void;
    /** Shows what was told of a key. */
    _release(key: string): void;
    /** What was told, whatever is shown. It may be changed meanwhile, as a Map may. */
    [Symbol.iterator](): IterableIterator<[string, Entry<T>]>;
}
