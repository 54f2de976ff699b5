/** Export and import of a bucket, with progress; an import that was cut goes on where it was. */
import { useEffect, useRef, useState } from "preact/hooks";
import { may } from "./api.js";
import { BucketHead } from "./bucket-head.jsx";
import { exportEntries, importLines } from "./folders.jsx";
import { transfer } from "./same.js";
import { linesOf } from "./text.js";
import { ErrorBox, Field, SameAs, count, useNotice } from "./ui.jsx";

/** One request imports so many lines, or so many bytes if that is less. */
const LINES = 1000;
const BYTES = 4 << 20;

/** How many refused lines are shown. */
const SHOWN = 20;

function Export({ bucket }) {
  const [filter, setFilter] = useState(">");
  const [done, setDone] = useState();
  const [error, setError] = useState();
  const notice = useNotice();
  const run = async (event) => {
    event.preventDefault();
    setError(undefined);
    setDone(0);
    try {
      const n = await exportEntries(bucket, filter, setDone);
      notice(`${count(n)} entries were exported to ${bucket}.ndjson.`);
    } catch (failure) {
      setError(failure);
    }
    setDone(undefined);
  };
  return (
    <form onSubmit={run} class="card">
      <h2>Export</h2>
      <Field label="Filter" help="> for all, orders.> for a folder. The file has one entry on a line, with its exact bytes.">
        {(attributes) => <input {...attributes} value={filter} spellcheck={false}
          onInput={(event) => setFilter(event.currentTarget.value.trim())} />}
      </Field>
      <ErrorBox error={error} />
      {done !== undefined && <p role="status">{count(done)} entries so far …</p>}
      <footer><button class="primary" disabled={done !== undefined || filter === ""}>Export</button></footer>
    </form>
  );
}

/** Sends a file in parts; `from` is how many of its lines are stored already. */
async function importFile(bucket, file, mode, from, signal, onProgress) {
  let [line, batch, size, stored] = [0, [], 0, 0];
  const flush = async () => {
    if (batch.length === 0) return;
    const result = await importLines(bucket, batch.map(({ text }) => text), mode, signal);
    stored += result.stored;
    onProgress({ line, stored, failures: result.failures.map(({ problem, line: n }) =>
      ({ problem, line: batch[n - 1].line })) });
    [batch, size] = [[], 0];
  };
  for await (const text of linesOf(new Response(file.stream()))) {
    line++;
    if (line <= from || text.trim() === "") continue;
    batch.push({ text, line });
    size += text.length;
    if (batch.length === LINES || size > BYTES) await flush();
  }
  await flush();
}

function Import({ bucket }) {
  const [file, setFile] = useState();
  const [mode, setMode] = useState("create");
  const [state, setState] = useState({ line: 0, stored: 0, failed: 0, failures: [] });
  const [error, setError] = useState();
  const [busy, setBusy] = useState(false);
  const ended = useRef();
  useEffect(() => () => ended.current?.abort(), []);
  const run = async (event) => {
    event.preventDefault();
    ended.current = new AbortController();
    setBusy(true);
    setError(undefined);
    const before = state.line;
    const stored = state.stored;
    try {
      await importFile(bucket, file, mode, before, ended.current.signal, (part) =>
        setState((old) => ({ line: part.line, stored: stored + part.stored,
          failed: old.failed + part.failures.length,
          failures: [...old.failures, ...part.failures].slice(0, SHOWN) })));
      setState((old) => ({ ...old, isDone: true }));
    } catch (failure) {
      if (!ended.current.signal.aborted) setError(failure);
    }
    setBusy(false);
  };
  const choose = ({ currentTarget }) => {
    setFile(currentTarget.files[0]);
    setState({ line: 0, stored: 0, failed: 0, failures: [] });
  };
  const isCut = state.line > 0 && !busy && !state.isDone;
  return (
    <form onSubmit={run} class="card">
      <h2>Import</h2>
      <Field label="File" help="An export of this console or of the API: one entry on a line (NDJSON).">
        {(attributes) => <input {...attributes} type="file" accept=".ndjson,.jsonl,.json" disabled={busy} onChange={choose} />}
      </Field>
      <Field label="Keys that are there already" help="What is replaced stays in the history, as far as the bucket keeps one.">
        {(attributes) => <select {...attributes} value={mode} disabled={busy}
          onChange={(event) => setMode(event.currentTarget.value)}>
          <option value="create">stay as they are</option><option value="overwrite">are replaced</option></select>}
      </Field>
      <ErrorBox error={error} />
      {(state.line > 0 || busy) && <p role="status">{count(state.line)} lines sent, {count(state.stored)} stored,{" "}
        {count(state.failed)} not.{state.isDone && " The import is complete."}
        {isCut && " It was cut here and can go on."}</p>}
      {state.failures.length > 0 && <ul class="names">{state.failures.map(({ line, problem }) =>
        <li key={line}>Line {line}: {problem.detail ?? problem.title}</li>)}</ul>}
      <footer>
        {busy && <button type="button" onClick={() => ended.current.abort()}>Stop</button>}
        <button class="primary" disabled={!file || busy || state.isDone}>{isCut ? `Go on after line ${state.line}` : "Import"}</button>
      </footer>
    </form>
  );
}

export function Transfer({ bucket }) {
  useEffect(() => { document.title = `Import and export ${bucket} · Console`; }, [bucket]);
  return (
    <main id="main">
      <BucketHead bucket={bucket} here="transfer" />
      <div class="columns">
        {may("get", bucket) && may("list", bucket) && <Export bucket={bucket} />}
        {may("put", bucket) && <Import bucket={bucket} />}
      </div>
      <SameAs ways={transfer(bucket)} />
    </main>
  );
}
