/** The parts that all screens are made of. */
import { createContext } from "preact";
import { useCallback, useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import { BASE, explain, onSession, session } from "./api.js";

/** Draws a component anew when the session or the connection changes. */
export function useSession() {
  const [, draw] = useState(0);
  useEffect(() => onSession(() => draw((n) => n + 1)), []);
  return session();
}

/**
 * Loads something, and again when `inputs` change, the gateway is back, or `reload` is called. What
 * was loaded stays while it is loaded again. `every` repeats it after so many milliseconds.
 */
export function useLoaded(load, inputs, every) {
  const { round } = useSession();
  const [state, setState] = useState({ loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const ended = new AbortController();
    let timer;
    const run = async () => {
      try {
        const value = await load(ended.signal);
        if (!ended.signal.aborted) setState({ value });
      } catch (error) {
        if (ended.signal.aborted) return;
        setState((before) => ({ value: before.value, error }));
      }
      if (every && !ended.signal.aborted) timer = setTimeout(run, every);
    };
    run();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [...inputs, round, turn]);
  useEffect(() => setState({ loading: true }), inputs);
  return { ...state, reload: useCallback(() => setTurn((n) => n + 1), []) };
}

const Notices = createContext(() => {});
export const useNotice = () => useContext(Notices);

/** Says in a line at the bottom of the page what was done; screen readers hear it. */
export function NoticeArea({ children }) {
  const [text, setText] = useState("");
  useEffect(() => {
    const timer = text && setTimeout(() => setText(""), 6000);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <Notices.Provider value={setText}>
      {children}
      <p class={`notice ${text && "shown"}`} role="status">{text}</p>
    </Notices.Provider>
  );
}

export function ErrorBox({ error, children }) {
  if (!error) return null;
  const { title, detail, hint, code } = explain(error);
  return (
    <div class="error" role="alert">
      <strong>{title}</strong>
      {detail && detail !== title && <p>{detail}</p>}
      {hint && <p>{hint}</p>}
      {code && <p><a href={`${BASE}/problems/${code}`} target="_blank" rel="noopener">What {code} means</a></p>}
      {children}
    </div>
  );
}

export const Loading = ({ what }) => <p class="loading" role="status">Reading {what} …</p>;

/** A dialog over the page, which Escape closes. */
export function Dialog({ title, onClose, children, wide }) {
  const element = useRef();
  const id = useId();
  useEffect(() => {
    const { current } = element;
    current.showModal();
    current.querySelector("form input, form select")?.focus();
    return () => current.close();
  }, []);
  return (
    <dialog ref={element} class={wide ? "wide" : ""} aria-labelledby={id}
      onCancel={(event) => { event.preventDefault(); onClose(); }}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={onClose}>✕</button>
      </header>
      {children}
    </dialog>
  );
}

/** A labelled input with an explanation below it. */
export function Field({ label, help, error, children }) {
  const id = useId();
  const helpId = `${id}-help`;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": helpId, "aria-invalid": error ? "true" : undefined })}
      <p id={helpId} class={error ? "help wrong" : "help"}>{error || help}</p>
    </div>
  );
}

/** A form that runs something when it is sent, and shows that it runs and why it failed. */
export function ActionForm({ action, button, danger, disabled, onClose, children }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState();
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return; // The button stays enabled, since one that is disabled loses the focus.
    setBusy(true);
    setError(undefined);
    try {
      await action();
    } catch (failure) {
      setError(failure);
    }
    setBusy(false);
  };
  return (
    <form onSubmit={submit}>
      {children}
      <ErrorBox error={error} />
      <footer>
        <button type="button" onClick={onClose}>Cancel</button>
        <button class={danger ? "danger" : "primary"} disabled={disabled} aria-busy={busy}>
          {busy ? "Working …" : button}
        </button>
      </footer>
    </form>
  );
}

export function CopyButton({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return <button type="button" class="small" onClick={copy}>{done ? "Copied" : label}</button>;
}

/** The same as commands and programs; `ways` has a text for each. */
export function SameAs({ ways }) {
  const names = Object.keys(ways);
  const [chosen, choose] = useState(names[0]);
  const text = ways[chosen] ?? ways[names[0]];
  return (
    <details class="same">
      <summary>The same as curl, JavaScript, Go and nats</summary>
      <div class="ways" role="group" aria-label="Language">
        {names.map((name) => (
          <button type="button" class="small" key={name} aria-pressed={name === chosen}
            onClick={() => choose(name)}>{name}</button>
        ))}
        <CopyButton text={text} />
      </div>
      <pre tabIndex={0}><code>{text}</code></pre>
    </details>
  );
}

export function bytes(n) {
  if (n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return `${i === 0 ? n : n.toFixed(n < 10 ? 1 : 0)} ${units[i]}`;
}

/** A duration as people write it: 24h for 24h0m0s. */
export const duration = (text) => text.replace(/h0m0s$/, "h").replace(/m0s$/, "m");

export const count = (n) => (n === undefined ? "–" : n.toLocaleString("en-US"));

export const when = (time) => new Date(time).toLocaleString("en-GB",
  { dateStyle: "medium", timeStyle: "medium" });

/** Draws anew each second, and says how long it is until a time. */
export function Countdown({ until }) {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => draw((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.round((Date.parse(until) - Date.now()) / 1000));
  const [days, hours, minutes] = [Math.floor(left / 86400), Math.floor(left / 3600) % 24,
    Math.floor(left / 60) % 60];
  const parts = [[days, "d"], [hours, "h"], [minutes, "m"], [left % 60, "s"]];
  const first = parts.findIndex(([n]) => n > 0);
  return <span>{first < 0 ? "expired" : parts.slice(first, first + 2).map(([n, u]) => n + u).join(" ")}</span>;
}
