// Package sse is the wire of a watch. It defines the ids of events ([ID]), encodes each change once
// and shares the bytes among all streams that send it ([Encoder]), and turns what subscriptions
// report into the bytes of a stream ([Follower]). Package stream writes these to the clients. A
// stream is either Server-Sent Events (WHATWG HTML §9.2) or the same events as lines of JSON
// (NDJSON).
//
// # Words
//
// A stream is the answer to one watch: bytes that one client reads until the stream ends. The
// streams of NATS are called buckets here. A block is one event of a stream, including the empty
// line or the line break behind it; a client drops a block that it did not receive as a whole, so
// its last id is that of the last whole block. A frame is the block of a change, which many streams
// share.
//
// # The way of an event
//
// A feed appends a change to its log and wakes the subscriptions that it concerns. A wake goes to
// the writer of the stream, which asks its source: the Follower. That polls its subscriptions, and
// takes each change's frame, which is encoded for the first stream that needs it. The handlers take
// no part in this.
//
//	feed.Feed ─ wake ─► writer ─ Next ─► Follower ─ Poll ─► feed.Subscription
//	                                        └─ Change ─► Encoder ─► frame
//
// The writer is a stream.Writer, or one loop of the stream.Loops; a stream.LoopStream is a stream
// that a loop writes. From a NATS message to the socket a change comes through these functions:
//
//	kvclient  Tail.receive, add, deliver          a batch of messages becomes entries
//	feed      source.receive, deliver,            the journal appends them, the interest tree says
//	          appendEntries                       which subscriptions they concern
//	          Subscription.noteChange             wakes
//	stream    LoopStream.Wake; loop.visit,        the loop comes to the stream, which asks
//	          advance, ask
//	sse       Follower.Next, fetch                what the subscriptions have
//	feed      Subscription.Poll, matchLog         the changes that the filters select
//	sse       Encoder.Change, Change.Frame        the bytes, made once for all streams
//	stream    loop.send, push, writeNow           one write to the socket
//
// # Files
//
//	id.go         the ids of events, and what an id says (digest.go)
//	frame.go      events as bytes, in three formats
//	follower.go   what a stream says, from what its subscriptions report
//	bookmarks.go  what a stream says unasked: its first lines, heartbeats and bookmarks
package sse
