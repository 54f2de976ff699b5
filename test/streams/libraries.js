/** The libraries, and how each follows a stream: take is called with all that it calls back with. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { EventSource as EventSource4 } from "eventsource";
import { createEventSource } from "eventsource-client";
import { EventSource as EventSource5 } from "eventsource5";
import { ROOT } from "../browser/harness.js";
import { EVENTS } from "./page/events.js";

const require = createRequire(import.meta.url);
const HERE = join(ROOT, "test", "streams");
const versionOf = (name) => require(join(HERE, "node_modules", name, "package.json")).version;

/** Follows with a class that has the interface of EventSource. */
const like = (EventSource) => async (url, take) => {
  const source = new EventSource(url);
  for (const name of ["message", ...EVENTS]) {
    source.addEventListener(name, ({ type, lastEventId, data }) => take(type, lastEventId, data));
  }
  return () => source.close();
};

/** Follows with a function of page/follow.js in a browser context of its own. */
const inChromium = (library) => async (url, take, browser) => {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => take("pageerror", "", error.stack));
  await page.exposeFunction("take", take);
  await page.goto(browser.page);
  await page.evaluate(([library, url]) => window.follow(library, url), [library, url]);
  return () => context.close();
};

/** Follows with a program that writes a line of JSON for each time that it is called back. */
const byProgram = (program, ...args) => async (url, take) => {
  const env = { ...process.env, NO_PROXY: "127.0.0.1", PYTHONUNBUFFERED: "1" };
  const child = spawn(join(ROOT, program), [...args, url], { env, stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { event, id, data } = JSON.parse(line);
    take(event, id, data);
  });
  createInterface({ input: child.stderr }).on("line", (line) => take("stderr", "", line));
  return async () => {
    child.kill();
    await exited;
  };
};
const inGo = (library) => byProgram("bin/streams-go", library);
const inPython = (library) => byProgram("test/streams/.venv/bin/python", join(HERE, "python", "follow.py"), library);

/**
 * A library has a name and a version, says where it gives its last id (`resumes`, as the name of a
 * header or of a parameter), and whether it comes back after a 502. `preflight` says that a browser
 * asks for permission before it resumes from another origin, which fails while the gateway is down.
 * `gate` are those of the gate.
 */
export const LIBRARIES = [
  { name: "chromium", version: "installed", follow: inChromium("EventSource"), resumes: "header", survives502: false, gate: true },
  { name: "eventsource2", version: versionOf("eventsource2"), follow: like(require("eventsource2")), resumes: "header", survives502: true },
  { name: "eventsource3", version: versionOf("eventsource3"), follow: like(require("eventsource3").EventSource), resumes: "header", survives502: false },
  { name: "eventsource4", version: versionOf("eventsource"), follow: like(EventSource4), resumes: "header", survives502: false },
  { name: "eventsource5", version: versionOf("eventsource5"), follow: like(EventSource5), resumes: "header", survives502: false },
  {
    name: "eventsource-client",
    version: versionOf("eventsource-client"),
    follow: async (url, take) => {
      const source = createEventSource({ url, onMessage: ({ event, id, data }) => take(event, id, data) });
      return () => source.close();
    },
    resumes: "header",
    survives502: true,
  },
  { name: "sse.js", version: versionOf("sse.js"), follow: inChromium("sse.js"), resumes: "header", preflight: true, survives502: true },
  { name: "fetch-event-source", version: versionOf("@microsoft/fetch-event-source"), follow: inChromium("fetch-event-source"), resumes: "header", preflight: true, survives502: true, gate: true },
  { name: "event-source-polyfill", version: versionOf("event-source-polyfill"), follow: inChromium("event-source-polyfill"), resumes: "lastEventId", survives502: false, gate: true },
  { name: "reconnecting-eventsource", version: versionOf("reconnecting-eventsource"), follow: inChromium("reconnecting-eventsource"), resumes: "header", after502: "lastEventId", survives502: true },
  { name: "r3labs", version: "2.10.0", follow: inGo("r3labs"), resumes: "header", survives502: true },
  { name: "go-sse", version: "0.12.0", follow: inGo("go-sse"), resumes: "header", survives502: false, gate: true },
  { name: "requests", version: "2.34.2", follow: inPython("requests"), resumes: "header", survives502: true },
  { name: "sseclient-py", version: "1.9.0", follow: inPython("sseclient-py"), resumes: "header", survives502: true },
  { name: "httpx-sse", version: "0.4.3", follow: inPython("httpx-sse"), resumes: "header", survives502: true },
];
