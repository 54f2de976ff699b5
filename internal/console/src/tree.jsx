/** The keys of a bucket as a tree by the dots of their names, or as a flat list. */
import { useEffect, useRef, useState } from "preact/hooks";
import { json, may, mayAll } from "./api.js";
import { ErrorBox, Loading, useSession } from "./ui.jsx";

/** How many names a page has, and how many one request asks for when pages are read anew. */
const PAGE = 200;
const AT_ONCE = 1000;

/** How long changes are gathered before a folder is read anew, in milliseconds. */
const GATHER = 500;

const linkTo = (bucket, key) => `#/b/${bucket}/k/${encodeURIComponent(key)}`;

export function Key({ bucket, name, shown, selection }) {
  return (
    <li class="key">
      <input type="checkbox" aria-label={`Select ${name}`} checked={selection.has(name)}
        onChange={() => selection.toggle(name)} />
      <a href={linkTo(bucket, name)} title={name}><bdi>{shown}</bdi></a>
    </li>
  );
}

function Folder({ bucket, prefix, tree }) {
  const isOpen = tree.open.has(prefix);
  const shown = prefix.slice(prefix.lastIndexOf(".", prefix.length - 2) + 1);
  const filter = `${prefix}>`;
  return (
    <li class="folder">
      <div class="row">
        <button type="button" class="quiet twist" aria-expanded={isOpen} title={prefix}
          onClick={() => tree.toggle(prefix)}><span aria-hidden="true">{isOpen ? "▾" : "▸"}</span>
          <bdi>{shown}</bdi></button>
        <span class="folder-actions">
          {mayAll("get", bucket, prefix) && <button type="button" class="small"
            aria-label={`Export ${prefix}`} onClick={() => tree.act("export", filter)}>Export</button>}
          {mayAll("get", bucket, prefix) && may("put", bucket) && <button type="button" class="small"
            aria-label={`Copy ${prefix}`} onClick={() => tree.act("copy", prefix)}>Copy</button>}
          {mayAll("delete", bucket, prefix) && <button type="button" class="small danger"
            aria-label={`Delete ${prefix}`} onClick={() => tree.act("delete", filter)}>Delete</button>}
        </span>
      </div>
      {isOpen && <Level bucket={bucket} prefix={prefix} tree={tree} />}
    </li>
  );
}

/** The name that a level shows for a key: the key, or the folder in which it is. */
function shownFor(key, prefix, flat) {
  const end = flat ? -1 : key.indexOf(".", prefix.length);
  return end < 0 ? key : key.slice(0, end + 1);
}

/** Reports whether a change can change what a level shows, of which `held` was read. */
export function concerns({ event, key, revision }, { prefix, flat, held }) {
  if (event === "bookmark" || event === "sync") return revision > held.revision;
  if (key === undefined || !key.startsWith(prefix)) return key === undefined;
  const name = shownFor(key, prefix, flat);
  const isShown = held.names.has(name);
  if (event === "put") return !isShown && !(held.next && name > held.last);
  return isShown;
}

/** Reads what a level shows; `load` begins anew, and `more` adds a page. */
class Reading {
  constructor(bucket, query, signal) {
    Object.assign(this, { bucket, query, signal });
    this.held = { keys: [], prefixes: [], names: new Set(), revision: 0 };
  }

  page(limit, cursor) {
    return json("GET", `buckets/${this.bucket}/keys`,
      { query: { ...this.query, limit, cursor }, signal: this.signal });
  }

  add(to, { keys, prefixes = [], next, revision }) {
    to.keys.push(...keys);
    to.prefixes.push(...prefixes);
    for (const name of [...keys, ...prefixes]) to.names.add(name);
    const ends = [keys.at(-1) ?? "", prefixes.at(-1) ?? "", to.last ?? ""];
    Object.assign(to, { next, last: ends.sort().at(-1) });
    to.revision = Math.min(to.revision ?? Infinity, revision);
  }

  /** Reads so many names from the beginning. */
  async load(count) {
    const held = { keys: [], prefixes: [], names: new Set() };
    do this.add(held, await this.page(Math.min(count - held.names.size, AT_ONCE), held.next));
    while (held.next && held.names.size < count);
    this.held = held;
  }

  async more() {
    const held = { ...this.held, keys: [...this.held.keys], prefixes: [...this.held.prefixes] };
    this.add(held, await this.page(PAGE, held.next));
    this.held = held;
  }
}

/** What is directly below a prefix as it changes, and what shows more of it. */
function useLevel(bucket, prefix, tree) {
  const { round } = useSession();
  const [state, setState] = useState({});
  const more = useRef();
  useEffect(() => {
    const ended = new AbortController();
    const query = tree.flat ? {} : { delimiter: ".", prefix: prefix || undefined };
    const reading = new Reading(bucket, query, ended.signal);
    let queue = Promise.resolve();
    let timer;
    const run = (task) => {
      queue = queue.then(task).then(() => undefined, (failure) => failure).then((error) => {
        if (!ended.signal.aborted) setState((old) => ({ held: error ? old.held : reading.held, error }));
      });
    };
    const load = () => reading.load(tree.counts.get(prefix) ?? PAGE);
    more.current = () => run(async () => {
      await reading.more();
      tree.counts.set(prefix, reading.held.names.size);
    });
    const leave = tree.listen((change) => {
      if (!concerns(change, { prefix, flat: tree.flat, held: reading.held })) {
        reading.held.revision = Math.max(reading.held.revision, change.revision ?? 0);
        return;
      }
      if (timer) return;
      timer = setTimeout(() => {
        timer = undefined;
        run(load);
      }, GATHER);
    });
    run(load);
    return () => {
      leave();
      clearTimeout(timer);
      ended.abort();
    };
  }, [bucket, prefix, tree.flat, tree.bump, round]);
  return { ...state, more: () => more.current() };
}

/** What is directly below a prefix, or, in a flat list, everything. */
export function Level({ bucket, prefix, tree }) {
  const { held, error, more } = useLevel(bucket, prefix, tree);
  if (!held) return error ? <ErrorBox error={error} /> : <Loading what="the keys" />;
  const isEmpty = prefix === "" && held.names.size === 0;
  return (
    <>
      <ErrorBox error={error} />
      {isEmpty && <div class="empty"><p>There is no key in this bucket{may("put", bucket) ? " yet" : " that you may see"}.</p>
        {may("put", bucket) && <p class="soft">Dots in a name make folders: orders.17 is in orders.</p>}</div>}
      {!isEmpty && <ul class="tree" aria-label={prefix === "" ? "Keys" : `Keys in ${prefix}`}>
        {held.prefixes.map((name) => <Folder key={name} bucket={bucket} prefix={name} tree={tree} />)}
        {held.keys.map((name) => <Key key={name} bucket={bucket} name={name}
          shown={name.slice(tree.flat ? 0 : prefix.length)} selection={tree.selection} />)}
      </ul>}
      {held.next && <button type="button" class="small more" onClick={more}>
        Show more{prefix && ` of ${prefix}`}</button>}
    </>
  );
}
