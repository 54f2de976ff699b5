/** The changes of a bucket as they come, with what the stream itself says. */
import { useEffect, useRef, useState } from "preact/hooks";
import { BucketHead } from "./bucket-head.jsx";
import { watchBucket } from "./same.js";
import { CHANGES, REASONS, useStream } from "./stream.js";
import { CopyButton, ErrorBox, SameAs, count } from "./ui.jsx";

/** How many events are kept, and how many seconds the plot shows. */
const MOST = 500;
const SECONDS = 60;

/** What an event says, in a line. */
function words({ event, key, revision, reason, exact, removed, size }) {
  if (CHANGES.includes(event)) return event === "put" ? `${size} bytes` : "";
  if (event === "reset" || event === "goaway") return REASONS[reason] ?? reason;
  if (event === "sync" || event === "bookmark") {
    return `revision ${revision}${exact ? ", exact: all that was sent is the bucket's state" : ""}`;
  }
  if (event === "removed") return removed.map((gone) => gone.key).join(", ");
  return { stale: "the gateway has lost NATS for the moment", live: "NATS is back",
    "bucket-deleted": "the bucket does not exist; it is followed again when it is created" }[event] ?? key ?? "";
}

/** How many events came in each of the last seconds. */
function Plot({ rates }) {
  const most = Math.max(1, ...rates);
  const text = `${rates.at(-1)} events in the last second, at most ${most} in the last minute`;
  return (
    <figure class="plot"><svg viewBox={`0 0 ${SECONDS} 20`} preserveAspectRatio="none" role="img" aria-label={text}>
      {rates.map((n, i) => <rect key={i} x={i + 0.1} width="0.8" y={20 - (n / most) * 20} height={(n / most) * 20} />)}
    </svg><figcaption class="soft">Events per second: {rates.at(-1)}, at most {most}</figcaption></figure>
  );
}

const emptyState = () =>
  ({ events: [], id: "", rates: new Array(SECONDS).fill(0), now: 0, total: 0, number: 0 });

/** Follows a bucket; what comes is drawn at most five times a second. */
function useEvents(bucket, { filter, after, updatesOnly }, paused) {
  const kept = useRef(emptyState());
  const [shown, setShown] = useState(kept.current);
  useEffect(() => {
    const state = kept.current = emptyState();
    const draw = setInterval(() => setShown({ ...state, events: [...state.events] }), 200);
    const second = setInterval(() => {
      state.rates = [...state.rates.slice(1), state.now];
      state.now = 0;
    }, 1000);
    return () => {
      clearInterval(draw);
      clearInterval(second);
    };
  }, [bucket, filter, after, updatesOnly]);
  const query = { filter: filter || undefined, after: after || undefined, updatesOnly, heartbeat: "5s" };
  useStream(bucket, query, (event) => {
    const state = kept.current;
    state.error = undefined;
    state.id = event.id;
    if (event.event !== "bookmark") {
      state.now++;
      state.total++;
    }
    if (paused) return;
    state.events.unshift({ ...event, number: state.number++, at: new Date() });
    state.events.length = Math.min(state.events.length, MOST);
  }, (error) => { kept.current.error = error; });
  return shown;
}

export function Watch({ bucket }) {
  const [form, setForm] = useState({ filter: "", after: "", updatesOnly: true });
  const [started, start] = useState(form);
  const [paused, pause] = useState(false);
  const { events, id, rates, total, error } = useEvents(bucket, started, paused);
  useEffect(() => { document.title = `Watch ${bucket} · Console`; }, [bucket]);
  const set = (name) => ({ currentTarget }) =>
    setForm({ ...form, [name]: currentTarget.type === "checkbox" ? currentTarget.checked : currentTarget.value.trim() });
  return (
    <main id="main">
      <BucketHead bucket={bucket} here="watch" />
      <form class="tools" onSubmit={(event) => { event.preventDefault(); start({ ...form }); }}>
        <input type="search" aria-label="Filter" placeholder="Filter, such as orders.>" value={form.filter}
          spellcheck={false} onInput={set("filter")} />
        <input type="search" aria-label="Resume after the id" placeholder="Resume after the id (optional)"
          value={form.after} spellcheck={false} onInput={set("after")} />
        <label class="check"><input type="checkbox" checked={!form.updatesOnly}
          onChange={(event) => setForm({ ...form, updatesOnly: !event.currentTarget.checked })} /> Begin with what is there</label>
        <button class="primary">Watch</button>
        <button type="button" aria-pressed={paused} onClick={() => pause(!paused)}>{paused ? "Go on" : "Pause"}</button>
      </form>
      <ErrorBox error={error} />
      <div class="head"><p class="soft id">{count(total)} {total === 1 ? "event" : "events"}. Resume id: <bdi class="mono">{id || "none yet"}</bdi></p>
        {id && <CopyButton text={id} label="Copy id" />}</div>
      <Plot rates={rates} />
      {paused && <p class="warn" role="status">Paused: what comes now is counted, but not shown.</p>}
      {events.length === 0 && !error && <div class="empty"><p>No event yet.</p>
        <p class="soft">What anybody changes in this bucket shows here at once.</p></div>}
      {events.length > 0 && <ol class="events" aria-label="Events, the latest first">
        {events.map((event) => (
          <li key={event.number} class={CHANGES.includes(event.event) ? "" : "said"}>
            <span class="soft">{event.at.toLocaleTimeString("en-GB")}</span>
            <strong class={event.event === "reset" ? "warn" : ""}>{event.event}</strong>
            <span>{event.key && CHANGES.includes(event.event) &&
              <a href={`#/b/${bucket}/k/${encodeURIComponent(event.key)}`}><bdi>{event.key}</bdi></a>}{" "}
              <span class="soft">{words(event)}{CHANGES.includes(event.event) && ` revision ${event.revision}`}</span></span>
          </li>
        ))}
      </ol>}
      <SameAs ways={watchBucket(bucket, started.filter || ">")} />
    </main>
  );
}
