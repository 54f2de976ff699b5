/** What is done with many keys: they are exported, copied, and deleted after a dry run. */
import { useEffect, useState } from "preact/hooks";
import { json, send } from "./api.js";
import { linesOf } from "./text.js";
import { ActionForm, Dialog, ErrorBox, Field, Loading, count } from "./ui.jsx";

/** How many entries one request imports, and how many filters one request may have. */
const BATCH = 500;
const MOST_FILTERS = 64;

/** How many names a dry run shows. */
const SHOWN = 20;

/** Offers a file for download. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The requests for a filter, or for keys, as the filters of each. */
function requestsOf(subject) {
  const filters = typeof subject === "string" ? [subject] : subject;
  const requests = [];
  for (let i = 0; i < filters.length; i += MOST_FILTERS) requests.push(filters.slice(i, i + MOST_FILTERS));
  return requests;
}

/** Reads the entries that a filter selects, or keys, line by line, with their exact bytes. */
export async function* readEntries(bucket, subject, signal) {
  for (const filter of requestsOf(subject)) {
    const answer = await send("GET", `buckets/${bucket}/entries`, { signal, timeout: 3_600_000,
      headers: { Accept: "application/x-ndjson" }, query: { filter, values: "base64" } });
    let isWhole = false;
    for await (const line of linesOf(answer)) {
      const entry = JSON.parse(line);
      if (entry.problem) throw Object.assign(new Error(entry.problem.detail), entry.problem);
      if (entry.end) isWhole = true;
      else yield entry;
    }
    if (!isWhole) throw new Error("The entries ended early. Nothing was lost: try again.");
  }
}

/** Exports entries to a file, and returns how many there were. */
export async function exportEntries(bucket, subject, onProgress) {
  const lines = [];
  let n = 0;
  for await (const entry of readEntries(bucket, subject)) {
    lines.push(`${JSON.stringify(entry)}\n`);
    if (++n % 1000 === 0) onProgress?.(n);
  }
  download(new Blob(lines, { type: "application/x-ndjson" }), `${bucket}.ndjson`);
  return n;
}

/** Sends lines of an import, and returns how many were stored and what was not. */
export async function importLines(bucket, lines, mode, signal) {
  const answer = await send("POST", `buckets/${bucket}/entries`, { signal, timeout: 600_000,
    query: { mode }, headers: { "Content-Type": "application/x-ndjson" }, body: lines.join("\n") });
  const failures = [];
  for await (const text of linesOf(answer)) {
    const line = JSON.parse(text);
    if (line.done) return { stored: line.stored, failures };
    if (line.problem) failures.push(line);
  }
  throw new Error("The gateway went away before all of this was stored. Try again.");
}

export function CopyFolder({ bucket, prefix, onClose, onDone }) {
  const [target, setTarget] = useState(`${prefix.slice(0, -1)}-copy`);
  const isRight = /^[-/_=.A-Za-z0-9]+$/.test(target) && !/^\.|\.\.|\.$/.test(target);
  const copy = async () => {
    let [batch, stored, failed] = [[], 0, []];
    const flush = async () => {
      if (batch.length === 0) return;
      const result = await importLines(bucket, batch, "create");
      stored += result.stored;
      failed.push(...result.failures);
      batch = [];
    };
    for await (const { key, base64, content_type, content_encoding } of readEntries(bucket, `${prefix}>`)) {
      batch.push(JSON.stringify({ key: `${target}.${key.slice(prefix.length)}`, base64, content_type, content_encoding }));
      if (batch.length === BATCH) await flush();
    }
    await flush();
    if (failed.length > 0) {
      throw new Error(`${stored} entries were copied and ${failed.length} were not: ${failed[0].problem.detail}`);
    }
    onDone(`${count(stored)} entries were copied to ${target}.`);
  };
  return (
    <Dialog title={`Copy ${prefix}`} onClose={onClose}>
      <ActionForm action={copy} button="Copy folder" disabled={!isRight} onClose={onClose}>
        <Field label="New folder" error={isRight ? undefined : "Use letters, digits, - / _ = and single dots between them."}
          help="Keys that are there already stay as they are. Copies have no time to live.">
          {(attributes) => <input {...attributes} value={target} autocomplete="off" spellcheck={false}
            onInput={(event) => setTarget(event.currentTarget.value)} />}
        </Field>
      </ActionForm>
    </Dialog>
  );
}

/** Adds up what the requests for a deletion answer. */
async function remove(bucket, subject, dry) {
  const sum = { deleted: 0, skipped: [] };
  for (const filter of requestsOf(subject)) {
    const { deleted, skipped } = await json("DELETE", `buckets/${bucket}/keys`,
      { query: { filter, dry_run: dry || undefined }, timeout: 600_000 });
    sum.deleted += deleted;
    sum.skipped.push(...skipped);
  }
  return sum;
}

/** Deletes what a filter selects, or keys, after it has shown what would go. */
export function DeleteKeys({ bucket, subject, onClose, onDone }) {
  const [dry, setDry] = useState();
  const [error, setError] = useState();
  const isFolder = typeof subject === "string";
  useEffect(() => {
    (async () => {
      const { deleted } = await remove(bucket, subject, true);
      const names = isFolder ? (await json("GET", `buckets/${bucket}/keys`,
        { query: { filter: subject, limit: SHOWN } })).keys : subject.slice(0, SHOWN);
      setDry({ deleted, names });
    })().catch(setError);
  }, []);
  const submit = async () => {
    const { deleted, skipped } = await remove(bucket, subject, false);
    onDone(`${count(deleted)} keys were deleted.${skipped.length > 0
      ? ` ${count(skipped.length)} were changed meanwhile and stay.` : ""}`);
  };
  return (
    <Dialog title={isFolder ? `Delete ${subject.slice(0, -1)}` : "Delete the selected keys"} onClose={onClose}>
      <ErrorBox error={error} />
      {!dry && !error && <Loading what="what would be deleted" />}
      {dry && <ActionForm action={submit} button={`Delete ${count(dry.deleted)} keys`} danger
        disabled={dry.deleted === 0} onClose={onClose}>
        <p>These keys would be deleted. Their values can be restored only as far as the bucket keeps history.</p>
        <ul class="names">
          {dry.names.map((name) => <li key={name}><bdi class="mono">{name}</bdi></li>)}
          {dry.deleted > dry.names.length && <li class="soft">and {count(dry.deleted - dry.names.length)} more</li>}
        </ul>
      </ActionForm>}
    </Dialog>
  );
}
