/** Follows a stream in a page, with the library of that name. All that it is told goes to take. */
import { EVENTS } from "./events.js";

const MODULES = "/node_modules";

function listen(source) {
  for (const name of ["message", ...EVENTS]) {
    source.addEventListener(name, ({ type, lastEventId, data }) => window.take(type, lastEventId, data));
  }
}

const FOLLOW = {
  EventSource: (url) => listen(new EventSource(url)),
  async "reconnecting-eventsource"(url) {
    const { default: ReconnectingEventSource } = await import(`${MODULES}/reconnecting-eventsource/build/esm/reconnecting-eventsource.js`);
    listen(new ReconnectingEventSource(url));
  },
  async "event-source-polyfill"(url) {
    await import(`${MODULES}/event-source-polyfill/src/eventsource.js`);
    listen(new window.EventSourcePolyfill(url));
  },
  async "sse.js"(url) {
    const { SSE } = await import(`${MODULES}/sse.js/lib/sse.js`);
    // It names no media type by itself, and does not reconnect unless it is told to.
    listen(new SSE(url, { headers: { Accept: "text/event-stream" }, autoReconnect: true }));
  },
  async "fetch-event-source"(url) {
    const { fetchEventSource } = await import(`${MODULES}/@microsoft/fetch-event-source/lib/esm/index.js`);
    fetchEventSource(url, {
      openWhenHidden: true,
      onmessage: ({ event, id, data }) => window.take(event, id, data),
      // A stream that ended is over for it, unless this throws.
      onclose() {
        throw new Error("the stream ended");
      },
      onerror() {}, // Without it, too, it would try again.
    });
  },
};

window.follow = (library, url) => FOLLOW[library](url);
