/** One entry: looked at first, then edited, and stored only if nobody has changed it meanwhile. */
import { useEffect, useRef, useState } from "preact/hooks";
import { json, may } from "./api.js";
import { BucketHead } from "./bucket-head.jsx";
import { Conflict } from "./conflict.jsx";
import { download } from "./folders.jsx";
import { readEntry } from "./same.js";
import { useStream } from "./stream.js";
import { bytesOf, hex, indent, jsonMistake, ofBase64, textOf } from "./text.js";
import { ActionForm, Countdown, Dialog, ErrorBox, Field, Loading, SameAs, bytes as sizeOf,
  useLoaded, useNotice, when } from "./ui.jsx";

const isJSON = (type) => /^[^;]*[/+]json\s*(;|$)/i.test(type ?? "");
const isImage = (type) => /^image\//i.test(type ?? "");

/** Reads an entry with its exact bytes; undefined if the key has no value. */
export async function loadEntry(bucket, key, signal) {
  try {
    const entry = await json("GET", `buckets/${bucket}/entries/~`,
      { query: { key, values: "base64" }, signal });
    const bytes = ofBase64(entry.base64 ?? "");
    return { ...entry, bytes, text: textOf(bytes), tag: `"${entry.revision}-${entry.epoch}"` };
  } catch (error) {
    if (error.code === "key-not-found" || error.code === "key-deleted") return undefined;
    throw error;
  }
}

/** The editor of texts, which is loaded when it is first needed. */
export function Editor({ text, json: isOfJSON, readOnly, label, onChange, control, focused }) {
  const element = useRef();
  const [error, setError] = useState();
  const change = useRef();
  change.current = onChange;
  useEffect(() => {
    let editor;
    let isOver = false;
    import("./editor.js").then(({ mount }) => {
      if (isOver) return;
      editor = mount(element.current,
        { text, isJSON: isOfJSON, readOnly, label, onChange: (now) => change.current?.(now) });
      if (control) control.current = editor;
      if (focused) editor.focus();
    }, () => setError(new Error("The editor could not be loaded. Reload the page.")));
    return () => {
      isOver = true;
      editor?.destroy();
    };
  }, [readOnly, isOfJSON, readOnly ? text : undefined]);
  return <><div ref={element} class="editor" /><ErrorBox error={error} /></>;
}

function Picture({ entry }) {
  const [url, setUrl] = useState();
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([entry.bytes], { type: entry.content_type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [entry]);
  return url ? <img class="picture" src={url} alt={`The value of ${entry.key}`} /> : null;
}

/** The value as its content type asks for, or as hexadecimal. */
function Value({ entry }) {
  const [asHex, setHex] = useState(false);
  const ways = isImage(entry.content_type) && !entry.content_encoding ? "Image"
    : entry.text === undefined ? undefined : isJSON(entry.content_type) ? "JSON" : "Text";
  const showsHex = asHex || !ways;
  return (
    <section aria-label="Value">
      <div class="tools">
        {ways && <span role="group" aria-label="Shown as" class="group">
          <button type="button" aria-pressed={!showsHex} onClick={() => setHex(false)}>{ways}</button>
          <button type="button" aria-pressed={showsHex} onClick={() => setHex(true)}>Hex</button>
        </span>}
        {showsHex && entry.bytes.length > 4096 && <span class="soft">The first 4 KiB</span>}
      </div>
      {entry.size === 0 && <p class="soft">The value is empty.</p>}
      {showsHex && entry.size > 0 && <pre tabIndex={0}>{hex(entry.bytes)}</pre>}
      {!showsHex && ways === "Image" && <Picture entry={entry} />}
      {!showsHex && ways !== "Image" && entry.size > 0 && <Editor text={entry.text}
        json={ways === "JSON"} readOnly label="Value, read only" />}
    </section>
  );
}

function Facts({ entry }) {
  const facts = [
    ["Revision", entry.revision], ["Stored", when(entry.created)], ["Size", sizeOf(entry.size)],
    ["Type", entry.content_type ?? "none"],
  ];
  if (entry.content_encoding) facts.push(["Coding", entry.content_encoding]);
  return (
    <dl class="facts">
      {facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      {entry.expires && <div><dt>Ends in</dt><dd><Countdown until={entry.expires} /></dd></div>}
    </dl>
  );
}

/** Stores bytes on the condition that the key is as `base` was read; undefined for a new key. */
export async function store(bucket, key, base, { body, contentType, ttl }) {
  const headers = base ? { "If-Match": base.tag } : { "If-None-Match": "*" };
  if (contentType) headers["Content-Type"] = contentType;
  if (base?.content_encoding) headers["Content-Encoding"] = base.content_encoding;
  return json("PUT", `buckets/${bucket}/keys/~`, { query: { key, ttl }, headers, body });
}

/** The time that an entry has left, as the gateway takes it; undefined if it does not end. */
const timeLeft = ({ expires }) => expires &&
  `${Math.max(1, Math.round((Date.parse(expires) - Date.now()) / 1000))}s`;

const isMismatch = ({ code }) => code === "revision-mismatch" || code === "key-exists";

/** Edits the text of an entry, or of a new one if `base` is undefined. */
function Edit({ bucket, name, base, newer, onClose, onStored }) {
  const [key, setKey] = useState(name ?? "");
  const [text, setText] = useState(base?.text ?? "");
  const [from, setFrom] = useState(base); // What the change is made from, and stored on.
  const [type, setType] = useState(base ? base.content_type ?? "" : "application/json");
  const [keep, setKeep] = useState(true);
  const [ttl, setTtl] = useState("");
  const [error, setError] = useState();
  const [busy, setBusy] = useState(false);
  const [theirs, setTheirs] = useState();
  const editor = useRef();
  const mistake = isJSON(type) && text !== "" ? jsonMistake(text) : undefined;
  const isSame = base && text === base.text && type === (base.content_type ?? "") && ttl === "" && keep;
  const compare = async () => setTheirs((await loadEntry(bucket, key)) ?? { isGone: true, text: "" });
  const save = async () => {
    if (busy) return; // The button stays enabled, since one that is disabled loses the focus.
    setBusy(true);
    setError(undefined);
    try {
      const time = ttl || (keep && from && !from.isGone ? timeLeft(from) : undefined);
      const on = from?.isGone ? undefined : from;
      const { revision } = await store(bucket, key, on, { body: bytesOf(text), contentType: type, ttl: time });
      onStored(key, revision);
    } catch (failure) {
      if (isMismatch(failure)) await compare().catch(setError);
      else setError(failure);
    }
    setBusy(false);
  };
  const format = () => editor.current?.set(indent(text));
  if (theirs) {
    return <Conflict base={from?.text ?? ""} yours={text} theirs={theirs}
      onBack={() => setTheirs(undefined)}
      onChosen={(chosen) => { setFrom(theirs); setText(chosen); setTheirs(undefined); }} />;
  }
  return (
    <form onSubmit={(event) => { event.preventDefault(); save(); }}>
      {!base && !name && <Field label="Key" help="Letters, digits and - / _ = . ; dots make folders.">
        {(attributes) => <input {...attributes} value={key} autocomplete="off" spellcheck={false}
          onInput={(event) => setKey(event.currentTarget.value)} />}
      </Field>}
      {newer && from && newer > (from.revision ?? 0) && <div class="error" role="alert">
        <strong>Somebody else has stored revision {newer} meanwhile.</strong>
        <p>Your change is kept here. <button type="button" class="small"
          onClick={() => compare().catch(setError)}>Compare and merge</button></p></div>}
      <Editor key={from?.revision} text={text} json={isJSON(type)} label="Value"
        onChange={setText} control={editor} focused={Boolean(base || name)} />
      <p class={mistake ? "help wrong" : "help"} role="status">{mistake
        ? `This is not JSON: ${mistake}` : isJSON(type) ? "Numbers and strings are stored as they are written." : ""}</p>
      <div class="columns">
        <Field label="Type" help="Such as application/json or text/plain.">
          {(attributes) => <input {...attributes} value={type} spellcheck={false}
            onInput={(event) => setType(event.currentTarget.value)} />}
        </Field>
        <Field label="Time to live" help={base?.expires
          ? "Empty keeps what is left of it, unless that is switched off."
          : "Empty for none; such as 30m, in a bucket that allows it."}>
          {(attributes) => <input {...attributes} value={ttl} spellcheck={false}
            onInput={(event) => setTtl(event.currentTarget.value.trim())} />}
        </Field>
      </div>
      {base?.expires && <label class="check"><input type="checkbox" checked={keep}
        onChange={(event) => setKeep(event.currentTarget.checked)} /> Keep the time to live
        (<Countdown until={base.expires} />)</label>}
      <ErrorBox error={error} />
      <footer>
        {isJSON(type) && !mistake && <button type="button" onClick={format}>Indent</button>}
        <button type="button" onClick={onClose}>Cancel</button>
        <button class="primary" aria-busy={busy} disabled={isSame || key === ""}>{busy ? "Storing …" : "Store"}</button>
      </footer>
    </form>
  );
}

function DeleteEntry({ bucket, entry, onClose, onDone }) {
  const remove = async () => {
    await json("DELETE", `buckets/${bucket}/keys/~`,
      { query: { key: entry.key }, headers: { "If-Match": entry.tag } });
    onDone();
  };
  return (
    <Dialog title={`Delete ${entry.key}`} onClose={onClose}>
      <ActionForm action={remove} button="Delete entry" danger onClose={onClose}>
        <p>Revision {entry.revision} is deleted, if nobody has changed it meanwhile. What the bucket
          keeps of earlier revisions stays in its history.</p>
      </ActionForm>
    </Dialog>
  );
}

/** The latest revision of a key that a watch has told of; it grows also if the key has gone. */
export function useNewer(bucket, key) {
  const [newer, setNewer] = useState();
  useStream(bucket, { filter: key, updatesOnly: true }, (change) => {
    if (change.key === key) setNewer(change.revision);
    else if (change.event === "removed" || change.event === "reset") setNewer((n) => (n ?? 0) + 0.5);
  });
  return newer;
}

export function NewEntry({ bucket }) {
  const notice = useNotice();
  return (
    <main id="main">
      <BucketHead bucket={bucket} here="new" />
      <h2>New key</h2>
      <Edit bucket={bucket} onClose={() => { location.hash = `#/b/${bucket}`; }}
        onStored={(key, revision) => {
          notice(`${key} was stored as revision ${revision}.`);
          location.hash = `#/b/${bucket}/k/${encodeURIComponent(key)}`;
        }} />
    </main>
  );
}

export function Entry({ bucket, name }) {
  const newer = useNewer(bucket, name);
  const [edits, setEdits] = useState(false);
  const [base, setBase] = useState();
  const [deletes, setDeletes] = useState(false);
  const [error, setError] = useState();
  const loaded = useLoaded((signal) => loadEntry(bucket, name, signal), [bucket, name]);
  const { value: entry, loading, reload } = loaded;
  const file = useRef();
  const notice = useNotice();
  const isNewer = newer !== undefined && newer !== entry?.revision;
  useEffect(() => { if (isNewer && !edits) reload(); }, [newer, edits]);
  const edit = useRef();
  const wasEdited = useRef(false);
  useEffect(() => { // Whoever has ended an edit is where they began it.
    if (!edits && wasEdited.current) edit.current?.focus();
    wasEdited.current = edits;
  }, [edits]);
  useEffect(() => { document.title = `${name} · ${bucket} · Console`; }, [bucket, name]);
  const stored = (key, revision) => {
    setEdits(false);
    notice(`${key} was stored as revision ${revision}.`);
    reload();
  };
  const upload = async ({ currentTarget }) => {
    const [chosen] = currentTarget.files;
    if (!chosen) return;
    setError(undefined);
    try {
      const { revision } = await store(bucket, name, entry && { ...entry, content_encoding: undefined },
        { body: chosen, contentType: chosen.type || entry?.content_type, ttl: entry && timeLeft(entry) });
      stored(name, revision);
    } catch (failure) {
      setError(failure);
    }
    currentTarget.value = "";
  };
  const mayPut = may("put", bucket, name);
  const isText = !entry || (entry.text !== undefined && !isImage(entry.content_type));
  return (
    <main id="main">
      <BucketHead bucket={bucket} here="k" />
      <div class="head">
        <h2 class="mono"><bdi>{name}</bdi></h2>
        {!edits && !loading && <span class="buttons">
          {mayPut && isText && <button type="button" class="primary" ref={edit}
            onClick={() => { setBase(entry); setEdits(true); }}>{entry ? "Edit" : "Create"}</button>}
          {mayPut && <><button type="button" onClick={() => file.current.click()}>Upload</button>
            <input ref={file} type="file" class="hidden" tabIndex={-1} aria-label="File to store" onChange={upload} /></>}
          <a class="button" href={`#/b/${bucket}/h/${encodeURIComponent(name)}`}>History</a>
          {entry && <button type="button" onClick={() => download(
            new Blob([entry.bytes], { type: entry.content_type }), name.split(/[./]/).pop() || "value")}>Download</button>}
          {entry && may("delete", bucket, name) && <button type="button" class="danger"
            onClick={() => setDeletes(true)}>Delete</button>}
        </span>}
      </div>
      <ErrorBox error={error ?? loaded.error} />
      {loading && !entry && !loaded.error && <Loading what="the entry" />}
      {!edits && !loading && !entry && !loaded.error && <div class="empty"><p>This key has no value.</p>
        <p class="soft">It was deleted, has ended, or was never written.</p></div>}
      {entry && !edits && <><Facts entry={entry} /><Value entry={entry} /></>}
      {edits && <Edit bucket={bucket} name={name} base={base} newer={newer}
        onClose={() => setEdits(false)} onStored={stored} />}
      <SameAs ways={readEntry(bucket, name, entry?.tag ?? "\"0\"")} />
      {deletes && <DeleteEntry bucket={bucket} entry={entry} onClose={() => setDeletes(false)}
        onDone={() => { setDeletes(false); notice(`${name} was deleted.`); reload(); }} />}
    </main>
  );
}
