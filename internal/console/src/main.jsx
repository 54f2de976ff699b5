/** The console: who is signed in, which screen is open, and whether the gateway is there. */
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { BASE, MAY_WRITE, identify, signOut } from "./api.js";
import { Buckets } from "./buckets.jsx";
import { Entry, NewEntry } from "./entry.jsx";
import { focusHeading, keepFocus } from "./focus.js";
import { History } from "./history.jsx";
import { Keys } from "./keys.jsx";
import { Status } from "./status.jsx";
import { Transfer } from "./transfer.jsx";
import { ErrorBox, Field, NoticeArea, useSession } from "./ui.jsx";
import { Watch } from "./watch.jsx";

/** The screens by the first part of what follows the # of the address. */
const SCREENS = { "": Buckets, b: OfBucket, status: Status };

/** The screens of a bucket by the part after its name; what follows that is a key. */
function OfBucket({ rest: [bucket, screen = "", name] }) {
  if (screen === "" || screen === "new") return screen ? <NewEntry bucket={bucket} /> : <Keys bucket={bucket} />;
  if (screen === "watch") return <Watch bucket={bucket} />;
  if (screen === "transfer") return <Transfer bucket={bucket} />;
  if (screen === "k" && name) return <Entry bucket={bucket} name={name} />;
  if (screen === "h" && name) return <History bucket={bucket} name={name} />;
  return <Nothing />;
}

const Nothing = () => (
  <main id="main"><h1>There is nothing here</h1>
    <p>The address does not lead to a screen. <a href="#/">Go to the buckets</a>.</p></main>
);

/** The parts of the address after the #, decoded; a part that is not well-formed stays as it is. */
function parts() {
  return location.hash.replace(/^#\/?/, "").split("/").map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

function useRoute() {
  const [route, setRoute] = useState(parts);
  useEffect(() => {
    const move = () => setRoute(parts());
    addEventListener("hashchange", move);
    return () => removeEventListener("hashchange", move);
  }, []);
  return route;
}

function SignIn({ error: first }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState();
  const [busy, setBusy] = useState(false);
  const field = useRef();
  useEffect(() => field.current.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    setError(undefined);
    await identify(token.trim()).catch(setError);
    setBusy(false);
  };
  return (
    <main id="main" class="sign-in">
      <h1>Sign in</h1>
      <form onSubmit={submit}>
        <Field label="Token" help="It stays in the memory of this page only: reload the page, and you sign in again.">
          {(attributes) => <input {...attributes} ref={field} type="password" value={token} autocomplete="off"
            onInput={(event) => setToken(event.currentTarget.value)} />}
        </Field>
        <ErrorBox error={error ?? (first?.code === "unauthenticated" ? undefined : first)} />
        <footer><button class="primary" aria-busy={busy} disabled={token.trim() === ""}>Sign in</button></footer>
      </form>
      <p class="soft">You get a token from whoever runs this gateway.
        The <a href={`${BASE}/docs/security/`}>documentation</a> says how they make one.</p>
    </main>
  );
}

/** What is said while something is lost. */
const LOST = { gateway: "The gateway does not answer",
  nats: "NATS does not answer the gateway: what you see may be old" };

function Top({ access, lost, signedIn, onSignIn }) {
  const [here] = useRoute();
  const link = (to, label) => <a href={`#/${to}`} aria-current={(here === "b" ? "" : here) === to ? "page" : undefined}>{label}</a>;
  return (
    <header class="top">
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        focusHeading();
      }}>To the content</a>
      <a class="brand" href="#/" aria-label="KV Gateway"><img src={`${BASE}/console/icon.svg`} alt="" /><span>KV Gateway</span></a>
      <nav aria-label="Console">{link("", "Buckets")}{SCREENS.status && link("status", "Status")}
        <a href={`${BASE}/docs/`}>Docs</a></nav>
      {lost && <span class="lost" role="alert">{LOST[lost]}. Trying again …</span>}
      {!MAY_WRITE && <span class="badge">Read only</span>}
      <span class="who">
        {access.name && <span class="soft name">{access.name}</span>}
        {signedIn ? <button type="button" class="small" onClick={signOut}>Sign out</button>
          : access.kind === "anonymous" &&
            <button type="button" class="small" onClick={onSignIn}>Sign in</button>}
      </span>
    </header>
  );
}

function App() {
  const state = useSession();
  const [screen, ...rest] = useRoute();
  const [refused, setRefused] = useState();
  const [signsIn, setSignsIn] = useState(false);
  const known = state.access.kind !== "";
  useEffect(() => {
    if (known) setSignsIn(false);
    else identify(undefined).then(() => setRefused(undefined), setRefused);
  }, [known, state.round]);
  useEffect(() => {
    if (state.signedIn) setSignsIn(false);
  }, [state.signedIn]);
  const Screen = SCREENS[screen];
  let content = null;
  const asks = signsIn || (!known && refused);
  const where = asks || !known ? undefined : [screen, ...rest].join("/");
  const before = useRef();
  useEffect(() => {
    if (where === undefined) return;
    if (before.current !== where && (before.current !== undefined || state.signedIn)) focusHeading();
    before.current = where;
  }, [where]);
  if (asks) content = <SignIn error={refused} />;
  else if (known && Screen) content = <Screen key={rest.join("/")} rest={rest} />;
  else if (known) content = <Nothing />;
  return (
    <NoticeArea>
      <Top {...state} onSignIn={() => setSignsIn(true)} />
      {content}
    </NoticeArea>
  );
}

const place = document.getElementById("console");
place.replaceChildren();
render(<App />, place);
keepFocus(place);
