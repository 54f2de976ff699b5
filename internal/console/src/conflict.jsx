/** What to do when somebody else was faster: theirs, yours and the base, and a merge of them. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { merge, shortDifference, shortened } from "./text.js";

/** A text beside the base, with the lines that differ marked. */
export function Marked({ title, before, after }) {
  const lines = useMemo(() => shortDifference(before, after), [before, after]);
  const words = { "-": "removed: ", "+": "added: " };
  return (
    <section class="marked">
      <h3>{title}</h3>
      <pre tabIndex={0}>
        {lines.map(({ mark, text, skipped }, i) => (skipped
          ? <span key={i} class="line soft">… {skipped.toLocaleString("en-US")} more {skipped === 1 ? "line" : "lines"}{"\n"}</span>
          : <span key={i} class={`line ${mark === "+" ? "added" : mark === "-" ? "removed" : ""}`}>
            <span class="hidden">{words[mark]}</span><span aria-hidden="true">{mark} </span>
            <bdi>{text}</bdi>{"\n"}
          </span>
        ))}
      </pre>
    </section>
  );
}

export function Conflict({ base, yours, theirs, onBack, onChosen }) {
  const parts = useMemo(() => merge(base, yours, theirs.text ?? ""), [base, yours, theirs]);
  const element = useRef();
  useEffect(() => element.current.focus(), []);
  const disputed = parts.filter(({ lines }) => !lines);
  const [choices, setChoices] = useState({});
  const isChosen = disputed.every((_, i) => choices[i]);
  const merged = () => {
    let n = 0;
    return parts.flatMap((part) => part.lines ?? part[choices[n++]]).join("\n");
  };
  if (theirs.text === undefined) {
    return (
      <section class="error" role="alert" ref={element} tabIndex={-1}>
        <strong>Somebody else has stored bytes that are no text, as revision {theirs.revision}.</strong>
        <p>They cannot be merged with yours.</p>
        <button type="button" onClick={onBack}>Back to your change</button>{" "}
        <button type="button" class="danger" onClick={() => onChosen(yours)}>Go on with yours</button>
      </section>
    );
  }
  return (
    <section aria-label="Conflict" class="conflict" ref={element} tabIndex={-1}>
      <div class="error" role="alert">
        <strong>{theirs.isGone ? "Somebody else has deleted this entry."
          : `Somebody else has stored revision ${theirs.revision} meanwhile.`}</strong>
        <p>Nothing of yours was stored. Choose what to go on with; you store it in the next step.</p>
      </div>
      <div class="three">
        <Marked title="Theirs, compared with the base" before={base} after={theirs.text} />
        <Marked title="Yours, compared with the base" before={base} after={yours} />
        <section class="marked"><h3>Base: what you began with</h3><pre tabIndex={0}>{shortened(base)}</pre></section>
      </div>
      {disputed.map((part, i) => (
        <fieldset key={i} class="disputed">
          <legend>Both have changed these lines ({i + 1} of {disputed.length})</legend>
          {["theirs", "yours"].map((side) => (
            <label key={side}><input type="radio" name={`part-${i}`} checked={choices[i] === side}
              onChange={() => setChoices({ ...choices, [i]: side })} />
              {side === "theirs" ? " Theirs" : " Yours"}
              <pre>{shortened(part[side].join("\n")) || "(no lines)"}</pre></label>
          ))}
        </fieldset>
      ))}
      <div class="buttons">
        <button type="button" class="primary" disabled={!isChosen} onClick={() => onChosen(merged())}>
          {disputed.length === 0 ? "Merge both" : "Merge as chosen"}</button>
        <button type="button" onClick={() => onChosen(theirs.text)}>Take theirs</button>
        <button type="button" onClick={() => onChosen(yours)}>Take yours</button>
        <button type="button" onClick={onBack}>Back</button>
      </div>
    </section>
  );
}
