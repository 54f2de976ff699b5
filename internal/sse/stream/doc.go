// Package stream writes streams to their clients. A stream is the answer to one watch: bytes that
// one client reads until the stream ends. What the bytes are does not matter here: a [Source] says
// what a stream sends, and the writer decides when to ask it.
//
// The writer is a [Writer], or one loop of the [Loops]; a [LoopStream] is a stream that a loop
// writes. Both forms take the same sources and pass the same tests, and all of
// test/checkers/watchcheck:
//
//   - A Writer writes one stream with net/http, in the handler's goroutine, which waits between two
//     events. It is used over HTTP/2, where the connection belongs to many requests, on systems
//     without epoll, and with --stream-loops 0.
//   - The Loops write on connections taken over from net/http, with a few goroutines for all
//     streams.
//
// A block is one event of a stream, including the empty line or the line break behind it. A frame
// is the block of a change, which many streams share.
//
// # What a source is asked
//
// A writer calls Begin once, and Next until it returns [WhenWoken] or [Never]. It calls
// Next again when the stream was woken. What the source has to say is never collected: while the
// client does not take what was returned, the source is not asked, and its log stays the only
// queue. One call of Next may have several reasons, see [Source].
//
// Beat is called when a heartbeat is due, on a loop only once the source has nothing else to say.
// GoAway makes the last block of a stream that the writer ends: because it reached its age
// ("max-age"), because its client does not take what it holds ("slow"), or because it was dismissed
// ([LoopStream.GoAway], [Writer.GoAway]). Whoever dismisses a stream gives the reason, and until
// when the client may take the rest. The gateway does so when the caller has lost its rights
// ("permissions") or its credential ends ("auth-expiring").
//
// # The writer on a loop
//
// A [LoopStream] has these states; the fields of the struct hold them.
//
//	new      New has made it; it has no connection, and it cannot be woken
//	open     the socket has taken everything (rest is empty)
//	full     the socket did not take everything; rest waits in memory and counts as answer-bytes
//	last     as full, and the source has ended (sourceEnded)
//	ended    the connection is closed, and onEnd was called
//
// A stream is visited when it was woken, when the socket takes more, and when its time comes.
//
//	event                   open                          full                    last
//	----------------------  ----------------------------  ----------------------  ----------------
//	visit                   Next; write what it returns   write the rest; once    write the rest;
//	                                                      it is gone, as open     then ended: nil
//	Next says AtOnce        visited again, behind the     not asked               not asked
//	                        other streams that are ready
//	Next says Never         last, or ended: nil           not asked               not asked
//	socket takes not all    full: the rest is counted,    stays; any progress     stays
//	                        or slow if there is no room   moves the deadline
//	deadline of the rest    -                             ended: took nothing     the same
//	heartbeat is due        Next; Beat as soon as it      after the rest is gone  -
//	                        has nothing to say
//	age is reached          GoAway max-age: last          after the rest is gone  -
//	age + 30 s is reached   -                             ended: too slow         the same
//	dismissed               GoAway: last                  after the rest is gone  -
//	time of the dismissal   -                             ended: dismissed        the same
//	client sends no more    Beat at once, as a probe      when the rest is gone   -
//	reset, failed write     ended: client gone, error     the same                the same
//	evicted for others      nothing to give up: ignored   slow                    slow
//	source panics           ended: ErrPanicked            -                       -
//	Close's context ends    ended: net.ErrClosed          the same                the same
//
// Start leads from new to full: the rest is then the head of the answer and what Begin returned,
// not yet counted and without a deadline. "Slow" is GoAway with the reason "slow" if the stream
// stands between two blocks and the socket takes it at once, and then ended: held too much. In the
// state ended every event is ignored.
//
// # The writer on a goroutine
//
// [Writer.Run] is in one of three places: it asks the source, it is in a write, or it waits for a
// token in its channel. All events come as tokens, with a flag that tells which it was.
//
//	event                   asking                writing                  waiting
//	----------------------  --------------------  -----------------------  ----------------------
//	the stream is woken     the token stays       the token stays          asks
//	heartbeat is due        after this            after this               Beat
//	age is reached          GoAway max-age, ends  after this               GoAway max-age, ends
//	dismissed               GoAway, ends          after this               GoAway, ends
//	time of the dismissal   -                     the write fails: ends    -
//	client gone             ends                  the write fails: ends    ends
//	client sends no more    after this            after this               Beat, another in 0.3 s
//	  (HalfClosable)
//	no part taken for 30 s  -                     the write fails: ends    -
//	no room for the write   GoAway slow, ends     -                        -
//	evicted for others      -                     the write fails: ends    -
//	Next says Never         ends                  -                        -
//	source panics           net/http recovers     -                        -
//
// # A client is cut by what it takes
//
// No stream ends because it is large or its connection slow. What counts is progress: a client must
// take something of what waits for it within 30 s, and each part that it takes gives it the same
// time again. Only time in which bytes wait for the client counts, never the time in which the
// stream waits for NATS. The other answers of the gateway have a rate instead, see answer-rate in
// docs/bounds.md. Two things end a stream whose client does take something: the stream's age,
// beyond which it gets another 30 s for what is left, and other clients that need the memory which
// the stream holds ([Limits]).
//
// # Files
//
//	source.go       what a writer asks: the source, and when it asks again
//	clock.go        when a stream speaks unasked
//	limits.go       the bounds that all streams share
//	unsent.go       what one stream holds while its client does not take it
//	errors.go       why streams end
//	dismissal.go    ends a stream whose caller must not read on
//	writer.go       the writer on a goroutine
//	writer_held.go  counts its writes
//	write_guard.go  ends a write to make room for others
//	buffers.go      the buffers of these writers
//	loops.go        the loops, and the start of a stream on one of them
//	loop.go         one loop: the visits of its streams
//	loop_slow.go    keeps what a socket did not take, and ends a stream that holds too much
//	loop_stream.go  one stream of a loop, with all its state
//	timetable.go    when the streams of a loop must be visited
//	watcher_*.go    tells of sockets that were closed or take more, with epoll
//	socket_*.go     reads and writes sockets without waiting
package stream
