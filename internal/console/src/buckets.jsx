/** The buckets, with their sizes as they change. */
import { useEffect, useRef, useState } from "preact/hooks";
import { json, may, MAY_WRITE, session } from "./api.js";
import { BucketForm, DeleteBucket } from "./bucket-form.jsx";
import { listBuckets } from "./same.js";
import { ErrorBox, Loading, SameAs, bytes, count, duration, useLoaded, useNotice } from "./ui.jsx";

/** How often the sizes are read, in milliseconds. */
const EVERY = 2000;

/** All buckets that the caller sees, and those whose names are in its rules. */
async function readBuckets(signal) {
  const buckets = [];
  let cursor;
  do {
    const page = await json("GET", "buckets", { query: { limit: 1000, cursor }, signal });
    buckets.push(...page.buckets);
    cursor = page.next;
  } while (cursor);
  return buckets;
}

/** How many revisions a second a bucket has been given between the last two looks. */
function useRates(buckets) {
  const before = useRef(new Map());
  const rates = useRef(new Map());
  useEffect(() => {
    const now = performance.now();
    for (const { bucket, status } of buckets ?? []) {
      const last = before.current.get(bucket);
      if (last && status?.last_revision !== undefined && now > last.at) {
        const made = status.last_revision - last.revision;
        rates.current.set(bucket, Math.max(0, (made * 1000) / (now - last.at)));
      }
      before.current.set(bucket, { at: now, revision: status?.last_revision });
    }
  }, [buckets]);
  return rates.current;
}

function Replicas({ status }) {
  const peers = status.replicas?.peers;
  if (!peers) return "1";
  const behind = peers.filter(({ current, offline }) => offline || !current);
  return <>{peers.length + 1}{behind.length > 0 &&
    <span class="warn"> {behind.map(({ name }) => name).join(", ")} behind</span>}</>;
}

function Row({ bucket, rate, onEdit, onDelete }) {
  const { bucket: name, status, problem, description, history, ttl } = bucket;
  if (problem) {
    return <tr><th scope="row">{name}</th><td colSpan={6} class="warn">{problem.detail ?? problem.title}</td></tr>;
  }
  const isFull = bucket.max_bytes > 0 && status.bytes / bucket.max_bytes > 0.9;
  return (
    <tr>
      <th scope="row">
        <a href={`#/b/${name}`}>{name}</a>
        {description && <p class="soft">{description}</p>}
        {status.hints.map((hint) => <p class="hint" key={hint}>{hint}</p>)}
      </th>
      <td data-label="Keys and markers">{count(status.subjects)}</td>
      <td data-label="Size">{bytes(status.bytes)}{bucket.max_bytes > 0 &&
        <span class={isFull ? "warn" : "soft"}> of {bytes(bucket.max_bytes)}</span>}</td>
      <td data-label="Writes per second">{rate === undefined ? "–" : count(Math.round(rate * 10) / 10)}</td>
      <td data-label="Kept">{history === 1 ? "1 revision" : `${history} revisions`}
        {ttl !== "0s" && `, ${duration(ttl)}`}</td>
      <td data-label="Replicas"><Replicas status={status} /></td>
      <td class="actions">
        {may("admin", name) && <>
          <button type="button" class="small" aria-label={`Settings of ${name}`} onClick={onEdit}>Settings</button>
          <button type="button" class="small danger" aria-label={`Delete ${name}`} onClick={onDelete}>Delete</button>
        </>}
      </td>
    </tr>
  );
}

export function Buckets() {
  const { value: buckets, error, loading, reload } = useLoaded(readBuckets, [], EVERY);
  const [open, setOpen] = useState();
  const rates = useRates(buckets);
  const notice = useNotice();
  const mayCreate = MAY_WRITE && may("admin");
  const close = () => setOpen(undefined);
  const done = (what) => (name) => {
    close();
    notice(`${name} was ${what}.`);
    reload();
  };
  useEffect(() => { document.title = "Buckets · Console"; }, []);
  return (
    <main id="main">
      <header class="head">
        <h1>Buckets</h1>
        {mayCreate && <button type="button" class="primary"
          onClick={() => setOpen({ create: true })}>Create bucket</button>}
      </header>
      <ErrorBox error={error} />
      {loading && !buckets && !error && <Loading what="the buckets" />}
      {buckets?.length === 0 && <div class="empty">
        <p>There is no bucket {session().access.kind === "" ? "" : "that you may see "}yet.</p>
        <p class="soft">A bucket holds keys and their values, much like a folder of files.
          {mayCreate ? " Create one to begin." : ""}</p>
      </div>}
      {buckets?.length > 0 && (
        <table class="list">
          <thead><tr><th scope="col">Bucket</th><th scope="col">Keys and markers</th><th scope="col">Size</th>
            <th scope="col">Writes/s</th><th scope="col">Kept</th><th scope="col">Replicas</th>
            <th scope="col"><span class="hidden">Actions</span></th></tr></thead>
          <tbody>
            {buckets.map((bucket) => (
              <Row key={bucket.bucket} bucket={bucket} rate={rates.get(bucket.bucket)}
                onEdit={() => setOpen({ edit: bucket })} onDelete={() => setOpen({ remove: bucket })} />
            ))}
          </tbody>
        </table>
      )}
      <SameAs ways={listBuckets()} />
      {open?.create && <BucketForm onClose={close} onDone={done("created")} />}
      {open?.edit && <BucketForm bucket={open.edit} onClose={close} onDone={done("changed")} />}
      {open?.remove && <DeleteBucket bucket={open.remove} onClose={close} onDone={done("deleted")} />}
    </main>
  );
}
