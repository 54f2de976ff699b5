/** What the bucket keeps of a key: a timeline with differences, and restore. */
import { useEffect, useRef, useState } from "preact/hooks";
import { json, may } from "./api.js";
import { BucketHead } from "./bucket-head.jsx";
import { Marked } from "./conflict.jsx";
import { store, useNewer } from "./entry.jsx";
import { readHistory } from "./same.js";
import { hex, ofBase64, textOf } from "./text.js";
import { ErrorBox, Loading, SameAs, bytes, useLoaded, useNotice, when } from "./ui.jsx";

const WORDS = { put: "Stored", delete: "Deleted", purge: "Deleted with its history", expire: "Ended by age" };

async function load(bucket, key, signal) {
  const { entries } = await json("GET", `buckets/${bucket}/history/~`,
    { query: { key, values: "base64" }, signal });
  return entries.map((entry) => {
    const raw = ofBase64(entry.base64 ?? "");
    return { ...entry, raw, text: textOf(raw), tag: `"${entry.revision}-${entry.epoch}"` };
  }).reverse(); // The latest first.
}

/** A value as text, or as hexadecimal if it is none. */
const shownOf = (entry) => (entry === undefined ? "" : entry.text ?? hex(entry.raw));

export function History({ bucket, name }) {
  const { value: entries, error, reload } = useLoaded((signal) => load(bucket, name, signal), [bucket, name]);
  const [chosen, choose] = useState(); // A revision; the latest if there is none.
  const newer = useNewer(bucket, name);
  useEffect(() => { if (newer) reload(); }, [newer]);
  const timeline = useRef();
  const [failure, setFailure] = useState();
  const notice = useNotice();
  useEffect(() => { document.title = `History of ${name} · Console`; }, [name]);
  const entry = entries?.find(({ revision }) => revision === chosen) ?? entries?.[0];
  const before = entries?.[entries.indexOf(entry) + 1];
  const restore = async () => {
    setFailure(undefined);
    try {
      const { revision } = await store(bucket, name,
        { tag: entries[0].tag, content_encoding: entry.content_encoding },
        { body: entry.raw, contentType: entry.content_type });
      notice(`Revision ${entry.revision} was stored again as revision ${revision}.`);
      choose(undefined);
      timeline.current.querySelector("button").focus();
    } catch (problem) {
      setFailure(problem);
    }
    reload();
  };
  const mayRestore = entry?.operation === "put" && entry !== entries[0] && may("put", bucket, name);
  return (
    <main id="main">
      <BucketHead bucket={bucket} here="h" />
      <div class="head"><h2 class="mono"><bdi>{name}</bdi></h2>
        <a class="button" href={`#/b/${bucket}/k/${encodeURIComponent(name)}`}>Entry</a></div>
      <ErrorBox error={failure ?? error} />
      {!entries && !error && <Loading what="the history" />}
      {entry && <div class="history">
        <ol class="timeline" ref={timeline} aria-label="Revisions, the latest first">
          {entries.map((one) => (
            <li key={one.revision}><button type="button" aria-pressed={one === entry} onClick={() => choose(one.revision)}>
              <strong>{WORDS[one.operation] ?? one.operation}</strong> revision {one.revision}
              <span class="soft">{when(one.created)}{one.operation === "put" && `, ${bytes(one.size)}`}</span>
            </button></li>
          ))}
        </ol>
        <div>
          <Marked title={before ? `Revision ${entry.revision}, compared with ${before.revision}`
            : `Revision ${entry.revision}, the oldest that is kept`}
            before={shownOf(before)} after={shownOf(entry)} />
          {mayRestore && <p><button type="button" class="primary" onClick={restore}>
            Restore revision {entry.revision}</button>{" "}
            <span class="soft">It is stored again as a new revision, if nobody has changed the key meanwhile.</span></p>}
          {entries.length === 1 && <p class="soft">The bucket keeps one revision of each key. Its settings
            can be changed to keep more from now on.</p>}
        </div>
      </div>}
      <SameAs ways={readHistory(bucket, name)} />
    </main>
  );
}
