/**
 * Lets the forms of the reference send requests to the gateway that serves the page, and shows what
 * they answer. Streams are shown as they come. Without this script the page can be read all the
 * same.
 */

/** How much of an answer is shown, in characters. What comes after it is not read. */
const SHOWN = 256 * 1024;

const session = document.querySelector("#session");
const credential = document.querySelector("#credential");

/** The fields of a form that say the same thing of the request, such as its query. */
const fields = (form, where) => [...form.querySelectorAll(`[data-in="${where}"]`)];
const fieldOf = (form, where) => form.querySelector(`[data-in="${where}"]`);

/** What a form asks for: `{ url, init }`, as for fetch. */
function requestOf(form) {
  let path = form.dataset.path;
  for (const { name, value } of fields(form, "path")) {
    path = path.replace(`{${name}}`, encodeURIComponent(value));
  }
  const url = new URL(path, location.href);
  for (const { name, value, dataset } of fields(form, "query")) {
    const values = "repeats" in dataset ? value.split(/\s*,\s*/) : [value];
    for (const each of values) if (each !== "") url.searchParams.append(name, each);
  }
  const headers = new Headers();
  for (const { name, value } of fields(form, "header")) if (value !== "") headers.set(name, value);
  const accept = fieldOf(form, "accept")?.value;
  if (accept) headers.set("Accept", accept);
  const init = { method: form.dataset.method, headers, cache: "no-store" };
  const body = fieldOf(form, "body")?.value;
  if (body) {
    init.body = body;
    headers.set("Content-Type", fieldOf(form, "type").value || "application/octet-stream");
  }
  return { url, init };
}

/** The same request as a command. The credential is left out. */
function curlOf({ url, init }) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const lines = [`curl${{ GET: "", HEAD: " -I" }[init.method] ?? ` -X ${init.method}`} ${quoted(url.href)}`];
  for (const [name, value] of init.headers) lines.push(`  -H ${quoted(`${name}: ${value}`)}`);
  if (init.body) lines.push(`  --data-binary ${quoted(init.body)}`);
  return lines.join(" \\\n");
}

/** Makes an element with a text in it. */
function element(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

/** Shows the status and the headers of an answer, and returns where its body belongs. */
function showHead(place, response) {
  const status = element("p", `${response.status} ${response.statusText}`.trim(), "status");
  status.classList.toggle("bad", response.status >= 400);
  const details = document.createElement("details");
  const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  details.append(element("summary", "Headers"), element("pre", lines));
  const body = element("pre", "");
  body.tabIndex = 0;
  place.replaceChildren(status, details, body);
  return body;
}

/** Shows a body as it comes, up to a length. JSON is indented once it is there. */
async function showBody(place, response) {
  if (response.body === null) return place.remove();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) {
      if (text === "") place.remove();
      if (/[/+]json/.test(response.headers.get("Content-Type"))) place.textContent = indented(text);
      return;
    }
    text += value;
    place.textContent = text.slice(0, SHOWN);
    if (text.length > SHOWN) {
      place.after(element("p", "There is more. Use the command above to see all of it."));
      return reader.cancel();
    }
  }
}

/** JSON on many lines, unless that would change it: numbers above 2^53 must stay as they are. */
function indented(text) {
  try {
    const parsed = JSON.parse(text);
    const same = JSON.stringify(parsed) === text.trim();
    return same ? JSON.stringify(parsed, null, 2) : text;
  } catch {
    return text;
  }
}

/** Sends the request of a form, until it is answered or stopped. */
async function send(form) {
  const place = form.querySelector(".answer");
  const stop = form.querySelector(".stop");
  const ending = new AbortController();
  const { url, init } = requestOf(form);
  if (credential.value !== "") init.headers.set("Authorization", credential.value);
  const end = () => ending.abort();
  stop.addEventListener("click", end);
  stop.hidden = false;
  place.replaceChildren(element("p", "Waiting for an answer.", "status"));
  try {
    const response = await fetch(url, { ...init, signal: ending.signal });
    await showBody(showHead(place, response), response);
  } catch (error) {
    const why = ending.signal.aborted ? "Stopped." : `There was no answer: ${error.message}.`;
    place.append(element("p", why));
  } finally {
    stop.removeEventListener("click", end);
    stop.hidden = true;
  }
}

for (const form of document.querySelectorAll("form.try")) {
  const command = form.previousElementSibling.querySelector("code");
  const update = () => (command.textContent = curlOf(requestOf(form)));
  const examples = fieldOf(form, "example");
  examples?.addEventListener("change", () => {
    fieldOf(form, "body").value = examples.value;
    fieldOf(form, "type").value = examples.selectedOptions[0].dataset.type;
  });
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(form);
  });
  form.hidden = false;
  update();
}

/**
 * Makes what the examples need: a bucket that takes all of them, and a value. A bucket of that name
 * that has other settings stays as it is.
 */
async function prepare() {
  const base = new URL(document.querySelector('form[data-path$="/buckets"]').dataset.path, location.href);
  const put = async (path, body) => {
    const headers = new Headers({ "Content-Type": "application/json" });
    if (credential.value !== "") headers.set("Authorization", credential.value);
    const response = await fetch(base + path, { method: "PUT", headers, body: JSON.stringify(body) });
    if (!response.ok && response.status !== 409) throw new Error((await response.json()).detail);
    return response.ok;
  };
  const made = await put("/shop", { history: 5, limit_marker_ttl: "1s", allow_atomic: true });
  await put("/shop/keys/orders.17", { qty: 2 });
  return made
    ? "It is there, with the key orders.17."
    : "There is a bucket of that name with other settings, so some examples may be refused. " +
      "It has the key orders.17 now.";
}

document.querySelector("#prepare").addEventListener("click", async () => {
  const prepared = document.querySelector("#prepared");
  try {
    prepared.textContent = await prepare();
  } catch (error) {
    prepared.textContent = error.message;
  }
});
session.addEventListener("submit", (event) => event.preventDefault());
session.hidden = false;
