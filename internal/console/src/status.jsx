/** Whether the gateway and its NATS are well, which build it is, and what the caller may do. */
import { useEffect } from "preact/hooks";
import { BASE, json, session } from "./api.js";
import { readAccess } from "./same.js";
import { Countdown, ErrorBox, Loading, SameAs, useLoaded } from "./ui.jsx";

const EVERY = 5000;

async function load(signal) {
  const begun = performance.now();
  const version = await json("GET", "version", { signal });
  const took = Math.round(performance.now() - begun);
  const ready = await json("GET", "readyz", { signal, retries: 0 }).then(() => undefined, (error) => error);
  const access = await json("GET", "access", { signal });
  return { version, took, ready, access };
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
        <p class="soft">Streams, feeds, memory and resets are counted at /metrics of
          the <a href={`${BASE}/docs/running/`}>admin listener</a>, which browsers do not reach.</p>
      </>}
      <SameAs ways={readAccess()} />
    </main>
  );
}
