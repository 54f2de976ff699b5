/** The keys of a bucket that have a part in their names, wherever they are. */
import { useEffect, useState } from "preact/hooks";
import { send } from "./api.js";
import { CHANGES } from "./stream.js";
import { linesOf } from "./text.js";
import { Key } from "./tree.jsx";
import { ErrorBox, count, useSession } from "./ui.jsx";

/** How many names a search shows. */
const MOST_FOUND = 500;

/** How often what was found so far is drawn, in milliseconds. */
const DRAW = 200;

/** What was found, as a change of a key leaves it; the same object if it leaves it as it was. */
function changedBy(found, { event, key }) {
  const had = found.keys.includes(key);
  if ((event === "put") === had) return found;
  const keys = event === "put" ? [...found.keys, key].sort() : found.keys.filter((name) => name !== key);
  return { ...found, keys: keys.slice(0, MOST_FOUND) };
}

/**
 * Looks at all names for a part, as they come, and keeps none of the others. What changes afterwards
 * is added and taken away; only where the stream itself says that it lacks something, all names are
 * looked at again.
 */
function useFound(bucket, part, listen, bump) {
  const { round } = useSession();
  const [turn, again] = useState(0);
  const [state, setState] = useState({ keys: [], looked: 0, busy: true });
  useEffect(() => {
    const ended = new AbortController();
    const later = []; // What changed while the names were read.
    let isRead = false;
    const leave = listen((change) => {
      if (!CHANGES.includes(change.event)) {
        if (!["bookmark", "sync"].includes(change.event)) again((n) => n + 1);
      } else if (change.key.toLowerCase().includes(part)) {
        if (isRead) setState((old) => changedBy(old, change));
        else later.push(change);
      }
    });
    const timer = setTimeout(async () => {
      const keys = [];
      let looked = 0;
      let drawn = performance.now();
      try {
        const answer = await send("GET", `buckets/${bucket}/keys`, { signal: ended.signal,
          headers: { Accept: "text/plain" }, timeout: 600_000 });
        for await (const name of linesOf(answer)) {
          looked++;
          if (name.toLowerCase().includes(part)) keys.push(name);
          if (keys.length === MOST_FOUND) break;
          if (performance.now() - drawn > DRAW) {
            setState({ keys: [...keys], looked, busy: true });
            drawn = performance.now();
            await new Promise((done) => setTimeout(done));
          }
          if (ended.signal.aborted) return;
        }
        isRead = true;
        setState(later.reduce(changedBy, { keys, looked }));
      } catch (error) {
        if (!ended.signal.aborted) setState({ keys, looked, error });
      }
    }, DRAW);
    return () => {
      leave();
      clearTimeout(timer);
      ended.abort();
    };
  }, [bucket, part, turn, bump, round]);
  return state;
}

export function Found({ bucket, part, tree }) {
  const { keys, looked, busy, error } = useFound(bucket, part, tree.listen, tree.bump);
  return (
    <>
      <p class="soft" role="status">{busy ? "Looking … " : ""}{keys.length === MOST_FOUND
        ? `The first ${MOST_FOUND} that have it in their names` : `${count(keys.length)} found`},
        of {count(looked)} names.</p>
      <ErrorBox error={error} />
      <ul class="tree" aria-label="Keys found">
        {keys.map((name) => <Key key={name} bucket={bucket} name={name} shown={name} selection={tree.selection} />)}
      </ul>
    </>
  );
}
