/** The keys of a bucket: as a tree by the dots of their names, as a list, or found by a part. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { may } from "./api.js";
import { BucketHead } from "./bucket-head.jsx";
import { CopyFolder, DeleteKeys, exportEntries } from "./folders.jsx";
import { listKeys } from "./same.js";
import { Found } from "./search.jsx";
import { useStream } from "./stream.js";
import { Level } from "./tree.jsx";
import { CopyButton, ErrorBox, SameAs, count, useNotice } from "./ui.jsx";

/** What was open in which bucket, so that it is open again when the user comes back. */
const remembered = new Map();

/** Calls the listeners of a bucket with each change of its keys; returns what adds a listener. */
function useChanges(bucket) {
  const listeners = useMemo(() => new Set(), [bucket]);
  useStream(bucket, { updatesOnly: true }, (change) => listeners.forEach((take) => take(change)));
  return useMemo(() => (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, [listeners]);
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
    if (!remembered.has(bucket)) remembered.set(bucket, { open: new Set(), counts: new Map() });
    return remembered.get(bucket);
  }, [bucket]);
  const [, draw] = useState(0);
  const [flat, setFlat] = useState(false);
  const [part, setPart] = useState("");
  const [dialog, setDialog] = useState();
  const [error, setError] = useState();
  const [bump, setBump] = useState(0);
  const listen = useChanges(bucket);
  const selection = useSelection();
  const notice = useNotice();
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
  const tree = { ...memory, flat, bump, listen, toggle, selection, act };
  const close = () => setDialog(undefined);
  const done = (text) => {
    close();
    selection.clear();
    notice(text);
    setBump((n) => n + 1);
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
      {search ? <Found bucket={bucket} part={search} tree={tree} />
        : <Level key={flat} bucket={bucket} prefix="" tree={tree} />}
      <SameAs ways={listKeys(bucket, "")} />
      {dialog?.what === "delete" && <DeleteKeys bucket={bucket} subject={dialog.subject}
        onClose={close} onDone={done} />}
      {dialog?.what === "copy" && <CopyFolder bucket={bucket} prefix={dialog.subject}
        onClose={close} onDone={done} />}
    </main>
  );
}
