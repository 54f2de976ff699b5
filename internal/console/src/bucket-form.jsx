/** The form that creates a bucket, or changes one, and says of each setting what it means later. */
import { useState } from "preact/hooks";
import { json } from "./api.js";
import { ActionForm, Dialog, Field, duration } from "./ui.jsx";

const NAME = /^[A-Za-z0-9_-]{1,252}$/;
const DURATION = /^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$/;

/** The settings of the form. `kind` is how a value is edited; `fixed` ones only when creating. */
const SETTINGS = [
  { name: "description", label: "What it is for", kind: "text", initial: "",
    help: "Shown to everybody who administers buckets." },
  { name: "history", label: "Revisions kept of each key", kind: "number", initial: 1, min: 1, max: 64,
    help: "1 to 64. With 1 there is no history to look at or restore from. Fewer than now drops the "
      + "oldest at once, for good." },
  { name: "ttl", label: "Entries end after", kind: "duration", initial: "0s",
    help: "Such as 24h or 30m; 0s for never. It holds for what is stored already, too. Watchers see "
      + "such an end only with markers, below." },
  { name: "limit_marker_ttl", label: "Time to live for single entries", kind: "duration", initial: "0s",
    help: "How long a marker says that an entry has ended, such as 1h. It lets entries have a time to "
      + "live of their own, which cannot be switched off again. 0s for neither." },
  { name: "max_value_size", label: "Largest value in bytes", kind: "number", initial: -1, min: -1,
    help: "-1 for no limit but the server's. Larger values are refused; those stored already stay." },
  { name: "max_bytes", label: "Largest bucket in bytes", kind: "number", initial: -1, min: -1,
    help: "-1 for no limit. A full bucket refuses writes until there is room." },
  { name: "storage", label: "Stored", kind: "choice", initial: "file", fixed: true,
    choices: [["file", "on disk"], ["memory", "in memory"]],
    help: "In memory, everything is lost when the server restarts. This cannot be changed later." },
  { name: "num_replicas", label: "Servers that hold it", kind: "number", initial: 1, min: 1, max: 5,
    help: "1 to 5 servers of a cluster. With 3, one of them may fail." },
  { name: "compression", label: "Compress on disk", kind: "switch", initial: false,
    help: "Saves room where values are text, and costs some processor time." },
  { name: "allow_atomic", label: "Transactions", kind: "switch", initial: false,
    help: "Several entries can be stored together, all or none. Each costs the other writers time." },
];

function Control({ setting, value, set, attributes }) {
  const { kind, min, max, choices } = setting;
  if (kind === "switch") {
    return <input type="checkbox" {...attributes} checked={value}
      onChange={(event) => set(event.currentTarget.checked)} />;
  }
  if (kind === "choice") {
    return <select {...attributes} value={value} onChange={(event) => set(event.currentTarget.value)}>
      {choices.map(([name, label]) => <option key={name} value={name}>{label}</option>)}
    </select>;
  }
  return <input type={kind === "number" ? "number" : "text"} {...attributes} value={value}
    min={min} max={max} step={1} autocomplete="off" spellcheck={false}
    onInput={(event) => set(event.currentTarget.value)} />;
}

/** What is wrong with a value, if something is. */
function mistake({ kind, min, max }, value) {
  if (kind === "duration" && !DURATION.test(value)) return "Write a duration such as 90s, 15m or 24h.";
  if (kind !== "number") return undefined;
  const n = Number(value);
  const isRight = value !== "" && Number.isInteger(n) && n >= min && n <= (max ?? Infinity);
  return isRight ? undefined : `Write a whole number from ${min}${max ? ` to ${max}` : ""}.`;
}

/** The settings that differ from what they were, as the API takes them. */
function changes(shown, values, before) {
  const sent = {};
  for (const { name, kind } of shown) {
    const value = kind === "number" ? Number(values[name]) : values[name];
    if (value !== before[name]) sent[name] = value;
  }
  return sent;
}

export function BucketForm({ bucket, onClose, onDone }) {
  const [name, setName] = useState(bucket?.bucket ?? "");
  const shown = SETTINGS.filter(({ fixed }) => !bucket || !fixed);
  const before = Object.fromEntries(shown.map(({ name: n, kind, initial }) => {
    const value = bucket?.[n] ?? initial;
    return [n, kind === "duration" ? duration(value) : value];
  }));
  const [values, setValues] = useState(before);
  const wrongName = name !== "" && !NAME.test(name)
    ? "Use letters, digits, - and _ only, up to 252 of them." : undefined;
  const isWrong = shown.some((setting) => mistake(setting, values[setting.name]));
  const sent = changes(shown, values, before);
  const submit = async () => {
    const headers = { "Content-Type": `application/${bucket ? "merge-patch+" : ""}json` };
    if (!bucket) headers["If-None-Match"] = "*";
    await json(bucket ? "PATCH" : "PUT", `buckets/${name}`, { headers, body: JSON.stringify(sent) });
    onDone(name);
  };
  const control = (setting) => (
    <Field key={setting.name} label={setting.label} help={setting.help}
      error={mistake(setting, values[setting.name])}>
      {(attributes) => <Control setting={setting} attributes={attributes}
        value={values[setting.name]}
        set={(value) => setValues({ ...values, [setting.name]: value })} />}
    </Field>
  );
  return (
    <Dialog title={bucket ? `Settings of ${bucket.bucket}` : "Create a bucket"} onClose={onClose}>
      <ActionForm action={submit} button={bucket ? "Save settings" : "Create bucket"}
        disabled={!NAME.test(name) || isWrong || (bucket && Object.keys(sent).length === 0)}
        onClose={onClose}>
        {!bucket && (
          <Field label="Name" error={wrongName}
            help="Letters, digits, - and _. It cannot be changed later.">
            {(attributes) => <input {...attributes} value={name} autocomplete="off" spellcheck={false}
              onInput={(event) => setName(event.currentTarget.value)} />}
          </Field>
        )}
        {shown.slice(0, 4).map(control)}
        <details open={Boolean(bucket)}>
          <summary>Limits, storage and transactions</summary>
          {shown.slice(4).map(control)}
        </details>
      </ActionForm>
    </Dialog>
  );
}

/** Deletes a bucket once its name is typed. */
export function DeleteBucket({ bucket, onClose, onDone }) {
  const [typed, setTyped] = useState("");
  const { values } = bucket.status;
  const submit = async () => {
    await json("DELETE", `buckets/${bucket.bucket}`);
    onDone(bucket.bucket);
  };
  return (
    <Dialog title={`Delete ${bucket.bucket}`} onClose={onClose}>
      <ActionForm action={submit} button="Delete bucket" danger onClose={onClose}
        disabled={typed !== bucket.bucket}>
        <p>The bucket and {values === undefined ? "all its revisions" : `its ${values} revisions`} are
          deleted at once, for everybody. Nothing brings them back: export what you may need first.</p>
        <Field label="The name of the bucket" help={`Type ${bucket.bucket} to delete it.`}>
          {(attributes) => <input {...attributes} value={typed} autocomplete="off" spellcheck={false}
            onInput={(event) => setTyped(event.currentTarget.value)} />}
        </Field>
      </ActionForm>
    </Dialog>
  );
}
