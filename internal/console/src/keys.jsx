/** The keys of a bucket: as a tree by the dots of their names, as a list, or found by a part. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { bucketOf, json, may, mayAll, send } from "./api.js";
import { BucketHead } from "./bucket-head.jsx";
import { CopyFolder, DeleteKeys, exportEntries } from "./folders.jsx";
import { listKeys } from "./same.js";
import { linesOf } from "./text.js";
import { CopyButton, ErrorBox, Loading, SameAs, count, useLoaded, useNotice } from "./ui.jsx";

/** How many names a page has, and how many a search shows. */
const PAGE = 200;
const MOST_FOUND = 500;

/** What was open in which bucket, so that it is open again when the user comes back. */
const remembered = new Map();

/** Draws anew when keys of the bucket change, at most twice a second. */
function useChanges(bucket) {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!may("watch", bucket)) return undefined;
    const ended = new AbortController();
    let timer;
    (async () => {
      const changes = bucketOf(bucket, { values: "none" })
        .watch({ updatesOnly: true, signal: ended.signal });
      for await (const { event } of changes) {
        if (event === "bookmark" || timer) continue;
        timer = setTimeout(() => {
          timer = undefined;
          setTurn((n) => n + 1);
        }, 500);
      }
    })().catch(() => {}); // The listing itself says what is wrong, and the user can read it anew.
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [bucket]);
  return turn;
}

/** Reads the first pages of a folder. */
async function readPages(bucket, query, pages, signal) {
  const all = { keys: [], prefixes: [] };
  let cursor;
  for (let i = 0; i < pages; i++) {
    const page = await json("GET", `buckets/${bucket}/keys`,
      { query: { ...query, limit: PAGE, cursor }, signal });
    all.keys.push(...page.keys);
    all.prefixes.push(...(page.prefixes ?? []));
    cursor = page.next;
    if (!cursor) break;
  }
  return { ...all, more: cursor !== undefined };
}

const linkTo = (bucket, key) => `#/b/${bucket}/k/${encodeURIComponent(key)}`;

function Key({ bucket, name, shown, selection }) {
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

/** What is directly below a prefix, or, in a flat list, everything. */
function Level({ bucket, prefix, tree }) {
  const pages = tree.pages.get(prefix) ?? 1;
  const query = tree.flat ? {} : { delimiter: ".", prefix: prefix || undefined };
  const { value, error } = useLoaded((signal) => readPages(bucket, query, pages, signal),
    [bucket, prefix, tree.flat, pages, tree.turn]);
  if (error) return <ErrorBox error={error} />;
  if (!value) return <Loading what="the keys" />;
  if (prefix === "" && value.keys.length + value.prefixes.length === 0) {
    return <div class="empty"><p>There is no key in this bucket{may("put", bucket) ? " yet" : " that you may see"}.</p>
      {may("put", bucket) && <p class="soft">Dots in a name make folders: orders.17 is in orders.</p>}</div>;
  }
  return (
    <>
      <ul class="tree" aria-label={prefix === "" ? "Keys" : `Keys in ${prefix}`}>
        {value.prefixes.map((name) => <Folder key={name} bucket={bucket} prefix={name} tree={tree} />)}
        {value.keys.map((name) => <Key key={name} bucket={bucket} name={name}
          shown={name.slice(tree.flat ? 0 : prefix.length)} selection={tree.selection} />)}
      </ul>
      {value.more && <button type="button" class="small more" onClick={() => tree.showMore(prefix)}>
        Show more{prefix && ` of ${prefix}`}</button>}
    </>
  );
}

/** Looks at all names for a part, as they come, and keeps none of the others. */
function useFound(bucket, part, turn) {
  const [state, setState] = useState({ keys: [], looked: 0 });
  useEffect(() => {
    if (part === "") return undefined;
    const ended = new AbortController();
    const timer = setTimeout(async () => {
      const keys = [];
      let looked = 0;
      let drawn = performance.now();
      try {
        const answer = await send("GET", `buckets/${bucket}/keys`, { signal: ended.signal,
          headers: { Accept: "text/plain" }, timeout: 600_000 });
        for await (const name of linesOf(answer)) {
          looked++;
          if (name.toLowerCase().includes(part)) keys.push(name);
          if (keys.length === MOST_FOUND) break;
          if (performance.now() - drawn > 200) {
            setState({ keys: [...keys], looked, busy: true });
            drawn = performance.now();
            await new Promise((done) => setTimeout(done));
          }
          if (ended.signal.aborted) return;
        }
        setState({ keys, looked });
      } catch (error) {
        if (!ended.signal.aborted) setState({ keys, looked, error });
      }
    }, 200);
    return () => {
      clearTimeout(timer);
      ended.abort();
    };
  }, [bucket, part, turn]);
  return state;
}

function Found({ bucket, part, turn, selection }) {
  const { keys, looked, busy, error } = useFound(bucket, part, turn);
  return (
    <>
      <p class="soft" role="status">{busy ? "Looking … " : ""}{keys.length === MOST_FOUND
        ? `The first ${MOST_FOUND} that have it in their names` : `${count(keys.length)} found`},
        of {count(looked)} names.</p>
      <ErrorBox error={error} />
      <ul class="tree" aria-label="Keys found">
        {keys.map((name) => <Key key={name} bucket={bucket} name={name} shown={name} selection={selection} />)}
      </ul>
    </>
  );
}

/** The keys that are selected, with what can be done with them. */
function useSelection() {
  const [names, setNames] = useState(new Set());
  return {
    names,
    has: (name) => names.has(name),
    clear: () => setNames(new Set()),
    toggle: (name) => setNames((before) => {
      const after = new Set(before);
      if (!after.delete(name)) after.add(name);
      return after;
    }),
  };
}

function Selected({ bucket, selection, act }) {
  const names = [...selection.names];
  if (names.length === 0) return null;
  const mayDelete = names.every((name) => may("delete", bucket, name));
  return (
    <div class="selected" role="region" aria-label="Selection">
      <strong>{count(names.length)} selected</strong>
      <CopyButton text={names.join("\n")} label="Copy names" />
      {names.every((name) => may("get", bucket, name)) && <button type="button" class="small"
        onClick={() => act("export", names)}>Export</button>}
      {mayDelete && <button type="button" class="small danger"
        onClick={() => act("delete", names)}>Delete</button>}
      <button type="button" class="small" onClick={selection.clear}>Clear</button>
    </div>
  );
}

export function Keys({ bucket }) {
  const memory = useMemo(() => {
    if (!remembered.has(bucket)) remembered.set(bucket, { open: new Set(), pages: new Map() });
    return remembered.get(bucket);
  }, [bucket]);
  const [, draw] = useState(0);
  const [flat, setFlat] = useState(false);
  const [part, setPart] = useState("");
  const [dialog, setDialog] = useState();
  const [error, setError] = useState();
  const [bump, setBump] = useState(0);
  const turn = useChanges(bucket) + bump;
  const selection = useSelection();
  const notice = useNotice();
  const again = useRef();
  again.current = () => setBump((n) => n + 1);
  useEffect(() => { document.title = `${bucket} · Console`; }, [bucket]);

  const act = async (what, subject) => {
    setError(undefined);
    if (what !== "export") return setDialog({ what, subject });
    try {
      notice(`${count(await exportEntries(bucket, subject))} entries were exported.`);
    } catch (failure) {
      setError(failure);
    }
    return undefined;
  };
  const toggle = (prefix) => {
    if (!memory.open.delete(prefix)) memory.open.add(prefix);
    draw((n) => n + 1);
  };
  const showMore = (prefix) => {
    memory.pages.set(prefix, (memory.pages.get(prefix) ?? 1) + 1);
    draw((n) => n + 1);
  };
  const tree = { ...memory, flat, turn, toggle, showMore, selection, act };
  const close = () => setDialog(undefined);
  const done = (text) => {
    close();
    selection.clear();
    notice(text);
    again.current();
  };
  const search = part.trim().toLowerCase();
  return (
    <main id="main">
      <BucketHead bucket={bucket} here="" />
      <div class="tools" role="search">
        <input type="search" aria-label="Search by part of a name" placeholder="Search by part of a name"
          value={part} onInput={(event) => setPart(event.currentTarget.value)} />
        <span role="group" aria-label="Shown as" class="group">
          <button type="button" aria-pressed={!flat} onClick={() => setFlat(false)}>Tree</button>
          <button type="button" aria-pressed={flat} onClick={() => setFlat(true)}>List</button>
        </span>
        {may("put", bucket) && <a class="button primary" href={`#/b/${bucket}/new`}>New key</a>}
      </div>
      <Selected bucket={bucket} selection={selection} act={act} />
      <ErrorBox error={error} />
      {search ? <Found bucket={bucket} part={search} turn={turn} selection={selection} />
        : <Level bucket={bucket} prefix="" tree={tree} />}
      <SameAs ways={listKeys(bucket, "")} />
      {dialog?.what === "delete" && <DeleteKeys bucket={bucket} subject={dialog.subject}
        onClose={close} onDone={done} />}
      {dialog?.what === "copy" && <CopyFolder bucket={bucket} prefix={dialog.subject}
        onClose={close} onDone={done} />}
    </main>
  );
}
