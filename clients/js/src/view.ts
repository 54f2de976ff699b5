/** What a page sees of buckets, beside what their streams have told. */
import type { Entry } from "./entry.js";

/**
 * The Map of a page, in which the entries of some keys are local changes. The entries that the
 * streams have told of these keys are held back, and read and changed here; of every other key, the
 * page's Map has what was told.
 */
export class View<T> {
  /** What the page sees. It is always the same object. */
  readonly _map = new Map<string, Entry<T>>();
  #held = new Map<string, Entry<T> | undefined>();

  /** Returns what was told of a key. */
  _get(key: string): Entry<T> | undefined {
    return this.#held.has(key) ? this.#held.get(key) : this._map.get(key);
  }

  /** Notes what was told of a key, undefined if it has no value. */
  _set(key: string, entry: Entry<T> | undefined): void {
    if (this.#held.has(key)) this.#held.set(key, entry);
    else this.#show(key, entry);
  }

  /** Whether a local change of a key is shown. */
  _isHeld(key: string): boolean {
    return this.#held.has(key);
  }

  /** Shows a local change of a key until it is released. */
  _hold(key: string, entry: Entry<T> | undefined): void {
    if (!this.#held.has(key)) this.#held.set(key, this._map.get(key));
    this.#show(key, entry);
  }

  /** Shows what was told of a key. */
  _release(key: string): void {
    const told = this._get(key);
    this.#held.delete(key);
    this.#show(key, told);
  }

  #show(key: string, entry: Entry<T> | undefined): void {
    if (entry) this._map.set(key, entry);
    else this._map.delete(key);
  }

  /** What was told, whatever is shown. It may be changed meanwhile, as a Map may. */
  *[Symbol.iterator](): IterableIterator<[string, Entry<T>]> {
    for (const pair of this._map) if (!this.#held.has(pair[0])) yield pair;
    for (const [key, entry] of this.#held) if (entry) yield [key, entry];
  }
}
