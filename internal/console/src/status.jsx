/** Whether the gateway and its NATS are well, which build it is, and what the caller may do. */
import { useEffect } from "preact/hooks";
import { BASE, json, mayOversee, session } from "./api.js";
import { readAccess } from "./same.js";
import { REASONS } from "./stream.js";
import { Countdown, ErrorBox, Loading, SameAs, bytes, count, useLoaded, when } from "./ui.jsx";

const EVERY = 5000;

async function load(signal) {
  const begun = performance.now();
  const version = await json("GET", "version", { signal });
  const took = Math.round(performance.now() - begun);
  const ready = await json("GET", "readyz", { signal, retries: 0 }).then(() => undefined, (error) => error);
  const access = await json("GET", "access", { signal });
  const numbers = mayOversee() ? await json("GET", "status", { signal }) : undefined;
  return { version, took, ready, access, numbers };
}

const KINDS = { token: "a token of the gateway", jwt: "a JWT", certificate: "a client certificate",
  nats: "a credential of NATS", anonymous: "nobody: no credential", everybody: "everybody" };

function Rights({ access }) {
  if (access.kind === "nats") return <p>NATS decides what you may do, by the permissions of your user.</p>;
  return (
    <table class="list rights">
      <thead><tr><th scope="col">Buckets</th><th scope="col">Keys</th><th scope="col">You may</th></tr></thead>
      <tbody>
        {access.rules.map(({ bucket, keys, can }, i) => (
          <tr key={i}><th scope="row">{bucket === "*" ? "all" : bucket}</th>
            <td data-label="Keys">{keys ? <bdi class="mono">{keys.join(", ")}</bdi> : "all"}</td>
            <td data-label="You may">{can.join(", ")}</td></tr>
        ))}
      </tbody>
    </table>
  );
}

function Facts({ title, facts }) {
  return (
    <section class="card"><h2>{title}</h2>
      <dl class="facts">{facts.map(([name, value, isBad]) => <div key={name}><dt>{name}</dt>
        <dd class={isBad ? "warn" : ""}>{value}</dd></div>)}</dl></section>
  );
}

/** What the gateway has done since it started, for those who may administer all of it. */
function Numbers({ numbers: { started, nats, streams, feeds, memory, resets } }) {
  const told = Object.entries(resets).filter(([, n]) => n > 0);
  return (
    <>
      <p class="soft">Counted since the gateway started, {when(started)}.</p>
      <div class="columns">
        <Facts title="Connections to NATS" facts={Object.entries(nats).map(([name, isUp]) =>
          [name, isUp ? "up" : "down", !isUp])} />
        <Facts title="Streams" facts={[["Open", `${count(streams.open)} of ${count(streams.limit)}`],
          ["Refused", count(streams.refused), streams.refused > 0],
          ["Ended as too slow", count(streams.slow), streams.slow > 0]]} />
        <Facts title="Feeds" facts={[["Buckets followed", count(feeds.buckets)],
          ["Changes read", count(feeds.changes)], ["Sources lost", count(feeds.restarts)],
          ["Healed", count(feeds.heals)], ["Recent changes", bytes(feeds.log_bytes)]]} />
        <Facts title="Memory" facts={[["Process", bytes(memory.process_bytes)],
          ["Buckets kept", count(memory.buckets)], ["Entries kept", count(memory.entries)],
          ["They take", bytes(memory.bytes)],
          ["Differed from NATS", count(memory.mismatches), memory.mismatches > 0]]} />
        <section class="card"><h2>Resets</h2>
          {told.length === 0 ? <p class="soft">No stream had to begin anew.</p>
            : <ul class="resets">{told.map(([reason, n]) =>
              <li key={reason}><strong>{count(n)}</strong> {REASONS[reason] ?? reason}</li>)}</ul>}
        </section>
      </div>
    </>
  );
}

export function Status() {
  const { value, error } = useLoaded(load, [], EVERY);
  const { lost } = session();
  useEffect(() => { document.title = "Status · Console"; }, []);
  return (
    <main id="main">
      <div class="head"><h1>Status</h1></div>
      <ErrorBox error={error} />
      {!value && !error && <Loading what="the status" />}
      {value && <>
        <dl class="facts">
          <div><dt>Gateway</dt><dd class={lost ? "warn" : "good"}>{lost ? "does not answer" : `answers in ${value.took} ms`}</dd></div>
          <div><dt>Requests</dt><dd class={value.ready ? "warn" : "good"}>{value.ready
            ? value.ready.detail ?? value.ready.message : "are served"}</dd></div>
          {Object.entries(value.version).filter(([, text]) => text).map(([name, text]) =>
            <div key={name}><dt>{name.replace(/_/g, " ")}</dt><dd class="mono">{String(text)}</dd></div>)}
        </dl>
        <h2>Who you are</h2>
        <p>You come with {KINDS[value.access.kind] ?? value.access.kind}
          {value.access.name && <>, as <strong><bdi>{value.access.name}</bdi></strong></>}.
          {value.access.expires && <> It ends in <Countdown until={value.access.expires} />.</>}</p>
        <Rights access={value.access} />
        {value.numbers && <><h2>How the gateway is</h2><Numbers numbers={value.numbers} /></>}
        <p class="soft">{!value.numbers && "Those who may administer every bucket see more here. "}All
          metrics are at the <a href={`${BASE}/docs/running/`}>admin listener</a>.</p>
      </>}
      <SameAs ways={readAccess()} />
    </main>
  );
}
