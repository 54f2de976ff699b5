import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser } from "../build/sse.js";

const bytesOf = (text) => new TextEncoder().encode(text);

/** Parses chunks and returns the results. */
function parse(chunks, lastEventId) {
  const events = [];
  const retries = [];
  const parser = new EventStreamParser(
    { _event: (e) => events.push(e), _retry: (ms) => retries.push(ms) },
    lastEventId,
  );
  for (const chunk of chunks) parser._push(chunk);
  return { events, retries, lastEventId: parser._lastEventId };
}

const message = (data, id = "") => ({ type: "message", data, id });

const cases = [
  { name: "one event", text: "data: a\n\n", events: [message("a")] },
  {
    name: "a type and an id",
    text: "event: put\nid: 7-k\ndata: {}\n\n",
    events: [{ type: "put", data: "{}", id: "7-k" }],
    id: "7-k",
  },
  {
    name: "lines of data are joined",
    text: "data: a\ndata\ndata: b\n\n",
    events: [message("a\n\nb")],
  },
  {
    name: "CRLF",
    text: "event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n",
    events: [{ type: "x", data: "a", id: "" }, message("b")],
  },
  { name: "CR", text: "data: a\r\rdata: b\r\r", events: [message("a"), message("b")] },
  {
    name: "LF CR is two line ends",
    text: "data: a\n\rdata: b\n\r",
    events: [message("a"), message("b")],
  },
  { name: "one byte order mark is dropped", text: "\uFEFFdata: a\n\n", events: [message("a")] },
  { name: "a second one is part of a field's name", text: "\uFEFF\uFEFFdata: a\n\n", events: [] },
  {
    name: "characters of two, three and four bytes",
    text: "data: é€😀\n\n",
    events: [message("é€😀")],
  },
  { name: "comments are skipped", text: ": one\n:\ndata: a\n: two\n\n", events: [message("a")] },
  {
    name: "one leading space goes",
    text: "data:  a\n\ndata:b\n\n",
    events: [message(" a"), message("b")],
  },
  {
    name: "an empty data field is an event",
    text: "data\n\ndata:\n\n",
    events: [message(""), message("")],
  },
  {
    name: "a block of an id alone moves the id",
    text: ": heartbeat\nid: 9-k\n\n",
    events: [],
    id: "9-k",
  },
  {
    name: "an id stays",
    text: "id: 1\ndata: a\n\ndata: b\n\n",
    events: [message("a", "1"), message("b", "1")],
    id: "1",
  },
  {
    name: "an empty id takes it back",
    text: "id: 1\ndata: a\n\nid\ndata: b\n\n",
    events: [message("a", "1"), message("b")],
  },
  {
    name: "an id with NUL is ignored",
    text: "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
    events: [message("a", "1"), message("b", "1")],
    id: "1",
  },
  {
    name: "a type without data is forgotten",
    text: "event: x\n\ndata: a\n\n",
    events: [message("a")],
  },
  {
    name: "retry",
    text: "retry: 3412\n\nretry: 1e3\n\nretry: -1\n\nretry: 20\n\nretry\n\n",
    events: [],
    retries: [3412, 20],
  },
  {
    name: "unknown fields and their like",
    text: "Data: a\n data: b\nfoo: c\ndata: d\n\n",
    events: [message("d")],
  },
  { name: "colons in a value", text: "data: a: b\n\n", events: [message("a: b")] },
  {
    name: "a cut block is dropped, its id too",
    text: "id: 1\ndata: a\n\nid: 2\ndata: b\n",
    events: [message("a", "1")],
    id: "1",
  },
];

for (const { name, text, events, id = "", retries = [] } of cases) {
  test(`${name}, split at every byte`, () => {
    const bytes = bytesOf(text);
    const want = { events, retries, lastEventId: id };
    for (let at = 0; at <= bytes.length; at++)
      assert.deepEqual(parse([bytes.slice(0, at), bytes.slice(at)]), want, `at ${at}`);
    assert.deepEqual(
      parse(Array.from(bytes, (byte) => Uint8Array.of(byte))),
      want,
      "a byte at a time",
    );
  });
}

test("the id of the request holds until the stream names another", () => {
  assert.equal(parse([bytesOf("retry: 5\n\n")], "7-k").lastEventId, "7-k");
  assert.deepEqual(parse([bytesOf("data: a\n\n")], "7-k").events, [message("a", "7-k")]);
});

test("a value of a megabyte in small chunks", () => {
  const bytes = bytesOf(`data: ${"x".repeat(1 << 20)}\n\n`);
  const chunks = [];
  for (let at = 0; at < bytes.length; at += 1000) chunks.push(bytes.slice(at, at + 1000));
  assert.equal(parse(chunks).events[0].data.length, 1 << 20);
});
