/** The page: a table of the bucket's entries, and a form that changes one of them. */
import { liveMap } from "/clients/js/kvgateway.js";
import {
  TEXT, expiresByItself, isJSON, milliseconds, ofJSON, shortestLife, textIn, withLineEnds,
} from "/values.js";

const MOST_ROWS = 1000; // A page with more rows is slow to lay out. A filter finds the others.
const $ = (id) => document.getElementById(id);
const chosen = new URLSearchParams(location.search);

let live = null;
let editing = null; // The entry that the form shows, which If-Match names.
const rows = new Map(); // The table's rows by key.

// --- the table

const textOf = (entry) =>
  textIn(entry) ?? `${entry.size} bytes${entry.contentType ? ` of ${entry.contentType}` : ""}`;

function rowOf(key, entry) {
  const row = document.createElement("tr");
  row.innerHTML =
    '<td><button type="button" class="link"></button></td><td class="value"></td>' +
    '<td class="number"></td><td class="time"></td>';
  row.dataset.key = key;
  row.querySelector("button").textContent = key;
  row.querySelector("button").onclick = () => edit(live.map.get(key));
  return fill(row, entry);
}

function fill(row, entry) {
  const [, value, revision, time] = row.cells;
  const text = textOf(entry);
  value.textContent = text.length > 300 ? `${text.slice(0, 300)}…` : text;
  revision.textContent = entry.revision;
  time.textContent = new Date(entry.created).toLocaleTimeString();
  time.title = entry.created + (entry.expires ? `, expires ${entry.expires}` : "");
  row.classList.toggle("chosen", editing?.key === entry.key);
  return row;
}

function flash(row, name) {
  row.classList.remove("changed");
  void row.offsetWidth; // Begins the animation anew.
  row.classList.add(name);
}

// Rows stay in the order of their keys.
function place(row) {
  const body = $("rows");
  let low = 0;
  for (let high = body.rows.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (body.rows[middle].dataset.key < row.dataset.key) low = middle + 1;
    else high = middle;
  }
  body.insertBefore(row, body.rows[low] ?? null);
}

function drawAll() {
  const keys = [...live.map.keys()].sort().slice(0, MOST_ROWS);
  rows.clear();
  for (const key of keys) rows.set(key, rowOf(key, live.map.get(key)));
  $("rows").replaceChildren(...rows.values());
}

function drawChange({ key, entry }) {
  const row = rows.get(key);
  if (entry && row) flash(fill(row, entry), "changed");
  else if (entry && rows.size < MOST_ROWS) {
    const added = rowOf(key, entry);
    rows.set(key, added);
    place(added);
    flash(added, "changed");
  } else if (!entry && row) {
    rows.delete(key);
    flash(row, "gone");
    setTimeout(() => row.remove(), 1200);
  }
}

function changed(changes, cause) {
  if (cause === "snapshot" || changes.length > 200) drawAll();
  else changes.forEach(drawChange);
  count();
  const mine = changes.find(({ key }) => key === editing?.key);
  if (mine && mine.entry?.revision !== editing.revision && !saving) {
    tellOfOther(mine.key, mine.entry, cause);
  }
}

function count() {
  const { size } = live.map;
  const keys = size === 1 ? "key" : "keys";
  const shown = size > MOST_ROWS ? `The first ${rows.size} of ` : "";
  $("count").textContent = `${shown}${size} ${keys}`;
  $("empty").hidden = size > 0 || live.status !== "live";
  $("empty").textContent = chosen.get("filter")
    ? "No key matches this filter."
    : "No keys yet. Store one with the form.";
}

const WORDS = {
  connecting: "Connecting…", syncing: "Syncing…", live: "Live",
  stale: "Stale: the gateway lost its source", reconnecting: "Reconnecting…",
  deleted: "The bucket is deleted", failed: "Refused", closed: "Closed",
};

function showStatus(status, { event, reason, error, problem }) {
  $("status").className = status;
  $("status").textContent = WORDS[status];
  const notice = $("notice");
  if (status === "live") notice.hidden = true;
  else if (event === "reset") {
    say(notice, `Fetching the whole bucket again (${reason}). What you see may be outdated.`);
  } else if (problem || status === "failed") {
    say(notice, problem?.detail ?? problem?.title ?? error.message);
  }
  if (live) count();
}

function say(element, text) {
  element.hidden = false;
  element.textContent = text;
}

function watch() {
  live?.close();
  const bucket = $("bucket").value;
  if (!bucket) return;
  const query = new URLSearchParams({ values: "base64" });
  if (chosen.get("filter")) query.set("filter", chosen.get("filter"));
  rows.clear();
  $("rows").replaceChildren();
  live = liveMap(`/buckets/${bucket}/watch?${query}`, { onChange: changed, onStatus: showStatus });
  showStatus(live.status, {});
}

// --- the form

let saving = false;
let shown = ""; // The text that was put into the form.

/** Shows an entry in the form, or an empty form for a new key. */
function edit(entry) {
  const text = entry && textIn(entry);
  shown = text ?? "";
  $("key").value = entry?.key ?? "";
  $("value").value = shown;
  $("value").placeholder =
    entry && text === undefined ? "These are bytes. What you write replaces them." : "";
  message();
  compareWith(entry);
}

/** Sets the entry that the form replaces, and leaves its text alone. */
function compareWith(entry) {
  editing = entry ?? null;
  $("key").readOnly = Boolean(entry);
  $("form-title").textContent = entry ? "Change a key" : "New key";
  $("save").textContent = entry ? "Store" : "Create";
  $("remove").disabled = !entry;
  $("base").textContent = entry
    ? `Stored only if the key is still at revision ${entry.revision}.`
    : "Stored only if the key has no value yet.";
  for (const [key, row] of rows) row.classList.toggle("chosen", key === entry?.key);
}

function message(kind = "", text = "", ...buttons) {
  const box = $("message");
  box.className = kind;
  box.textContent = text;
  if (buttons.length === 0) return;
  const bar = document.createElement("div");
  bar.className = "buttons";
  for (const [label, action] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.onclick = action;
    bar.append(button);
  }
  box.append(bar);
}

// The value that the form would overwrite has changed. The user should learn that before storing.
function tellOfOther(key, entry, cause) {
  const gone = cause === "expire" ? "this key has expired" : "somebody else deleted this key";
  const what = entry ? `somebody else stored revision ${entry.revision}` : gone;
  message("conflict", `Meanwhile ${what}.`, ...choices(key));
}

/** What to do with the text in the form if the key has another entry by now, or none. */
function choices(key) {
  const theirs = () => live.map.get(key); // The latest when a button is pressed.
  if (theirs()) {
    return [["Take theirs", () => edit(theirs())], ["Overwrite theirs", () => overwrite(theirs())]];
  }
  return [["Discard mine", () => edit(null)], ["Create it again", () => overwrite(null)]];
}

function overwrite(entry) {
  const contentType = entry ? undefined : typeFor($("value").value);
  compareWith(entry);
  send("PUT", { contentType });
}

// An entry keeps its content type, also if that is none, unless its bytes were replaced by text.
function typeFor(text) {
  if (editing && textIn(editing) !== undefined) return editing.contentType;
  return isJSON(text) ? "application/json" : TEXT;
}

/** Says why nothing was sent, and what the user can do instead. */
class Unsent extends Error {
  constructor(why, ...buttons) {
    super(`Nothing was stored: ${why}`);
    this.buttons = buttons;
  }
}

/** Makes a request whose answer must be known before a value is stored. */
async function ask(method, path, reasonIfMissing, ...buttonsIfMissing) {
  const unknown = "how long the entry still lives could not be found out";
  const response = await fetch(path, { method }).catch((error) => {
    throw new Unsent(`${unknown} (${error.message}).`);
  });
  if (response.ok) return response;
  if (response.status === 404) throw new Unsent(reasonIfMissing, ...buttonsIfMissing);
  const problem = await response.json().catch(() => undefined); // HEAD has none.
  throw new Unsent(`${unknown} (${response.status}). ${problem?.detail ?? ""}`);
}

/**
 * Returns what is left of an entry's own time to live, to store it with, or undefined if it has
 * none. Throws Unsent if that cannot be found out, or if the bucket takes no time so short.
 */
async function timeLeft(bucket, key, path, contentType) {
  if (!editing?.expires) return undefined;
  const answer = await ask("GET", `/buckets/${bucket}`, "the bucket does not exist.");
  const config = await answer.json();
  if (!expiresByItself(editing, config)) return undefined;
  const entry = await ask("HEAD", path, `${key} has expired or was deleted.`, ...choices(key));
  const left = entry.headers.get("KV-TTL");
  if (left === null) return undefined;
  const shortest = shortestLife(config);
  if (milliseconds(left) >= milliseconds(shortest)) return left;
  const store = () => send("PUT", { contentType, ttl: shortest });
  throw new Unsent(`${key} expires in ${left}, and this bucket stores nothing for less than ` +
    `${shortest}.`, [`Store for ${shortest}`, store]);
}

async function send(method, { contentType, ttl } = {}) {
  const bucket = $("bucket").value;
  const key = $("key").value;
  const text = withLineEnds($("value").value, shown);
  const type = contentType ?? typeFor(text);
  const headers = editing
    ? { "If-Match": `"${editing.revision}-${editing.epoch}"` }
    : { "If-None-Match": "*" };
  if (method === "PUT" && ofJSON(type) && !isJSON(text)) {
    const asText = () => send("PUT", { contentType: TEXT, ttl });
    return message("error", `${key} holds JSON, and this is none.`, ["Store as text", asText]);
  }
  // Of bytes a browser sends no content type of its own.
  const body = method === "PUT" ? new TextEncoder().encode(text) : undefined;
  if (body && type) headers["Content-Type"] = type;
  saving = true;
  try {
    const path = `/buckets/${bucket}/keys/${encodeURIComponent(key)}`;
    const life = body && (ttl ?? (await timeLeft(bucket, key, path, type)));
    const response = await fetch(life ? `${path}?ttl=${life}` : path, { method, headers, body });
    const answer = await response.json();
    const what = { contentType: type, value: body, size: body?.length };
    if (response.ok) stored(method, key, answer, what);
    else if (response.status === 412) conflict(key, answer);
    else message("error", answer.detail ?? answer.title);
  } catch (error) {
    if (error instanceof Unsent) return message("error", error.message, ...error.buttons);
    const unknown = "The gateway did not answer, so whether this was stored is not known";
    message("error", `${unknown}: ${error.message}`);
  } finally {
    saving = false;
  }
}

function stored(method, key, { revision, epoch }, what) {
  if (method === "DELETE") {
    edit(null);
    return message("done", `${key} is deleted, by revision ${revision}.`);
  }
  edit({ ...editing, ...live.map.get(key), key, revision, epoch, ...what });
  message("done", `Stored as revision ${revision}.`);
}

function conflict(key, { current_revision: revision }) {
  const now = revision ? `, it is at revision ${revision} now` : "";
  const why = editing
    ? `somebody else changed ${key} meanwhile${now}`
    : `${key} has a value already`;
  // The filter may hide what the key has.
  const buttons = editing || live.map.has(key) ? choices(key) : [];
  message("conflict", `412: ${why}. Yours was not stored.`, ...buttons);
}

$("editor").onsubmit = (event) => {
  event.preventDefault();
  send("PUT");
};
$("remove").onclick = () => send("DELETE");
$("fresh").onclick = () => {
  edit(null);
  $("key").focus();
};

// --- the bucket and the filter; they are kept in the address, so that it can be shared

function choose(name, value) {
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  history.replaceState(null, "", `?${chosen}`);
  edit(null);
  watch();
}
$("bucket").onchange = () => choose("bucket", $("bucket").value);
$("filtering").onsubmit = (event) => {
  event.preventDefault();
  choose("filter", $("filter").value.trim());
};
$("filter").onchange = () => choose("filter", $("filter").value.trim());

async function begin() {
  $("filter").value = chosen.get("filter") ?? "";
  const names = [];
  try {
    const response = await fetch("/buckets?names=true");
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.detail ?? answer.title);
    names.push(...answer.names);
  } catch (error) {
    say($("notice"), `The buckets cannot be listed: ${error.message}`);
  }
  const wanted = chosen.get("bucket");
  if (wanted && !names.includes(wanted)) names.push(wanted);
  const options = names.map((name) => new Option(name, name, false, name === wanted));
  $("bucket").replaceChildren(...options);
  if (names.length === 0 && $("notice").hidden) {
    say($("notice"), "There is no bucket yet. Create one with PUT /buckets/{name}, " +
      "then load this page again.");
  }
  watch();
}
begin();
