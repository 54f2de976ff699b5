/** What a page sees of buckets, beside what their streams have told. */
import type { Entry } from "./entry.js";
import type { Change } from "./state.js";

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
  get(key: string): Entry<T> | undefined {
    return (this._isHeld(key) ? this.#held : this._map).get(key);
  }

  /** Notes what was told of a key, undefined if it has no value, and returns the difference. */
  _tell(key: string, entry?: Entry<T>): Change<T> {
    const previous = this.get(key);
    if (this._isHeld(key)) this.#held.set(key, entry);
    else this.#show(key, entry);
    return { key, entry, previous };
  }

  /** Whether a local change of a key is shown. */
  _isHeld(key: string): boolean {
    return this.#held.has(key);
  }

  /** Shows a local change of a key until it is released. */
  _hold(key: string, entry: Entry<T> | undefined): void {
    if (!this._isHeld(key)) this.#held.set(key, this._map.get(key));
    this.#show(key, entry);
  }

  /** Shows what was told of a key. */
  _release(key: string): void {
    this.#show(key, this.get(key));
    this.#held.delete(key);
  }

  #show(key: string, entry: Entry<T> | undefined): void {
    if (entry) this._map.set(key, entry);
    else this._map.delete(key);
  }

  /** What was told, whatever is shown. It may be changed meanwhile, as a Map may. */
  *[Symbol.iterator](): IterableIterator<[string, Entry<T>]> {
    for (const pair of this._map) if (!this._isHeld(pair[0])) yield pair;
    for (const [key, entry] of this.#held) if (entry) yield [key, entry];
  }
}
