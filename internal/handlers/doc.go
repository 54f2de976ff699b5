// Package handlers is the HTTP surface of the gateway: its routes and endpoints, preconditions and
// problems, and the bounds of what requests and answers may hold.
//
// An endpoint parses its request into the types of the domain, calls internal/kvclient or
// internal/feed, and writes the answer or returns an error. Text is parsed at this border and not
// checked again inside. Errors become problem documents in one place (exchange.fail), by the table
// of package problem: no endpoint knows the status code of a failure.
//
// # Words
//
//	word        meaning
//	route       an operation of api/openapi.yaml and the endpoint that carries it out
//	endpoint    answers a request, or returns an error before it has written anything
//	contract    api/openapi.yaml, and what it says about the query and the body of an operation
//	exchange    a request and its answer, with what the request holds
//	problem     a failure as clients see it: a code, and from that a status, a title and advice
//	client      who sent a request, as its connection and trusted proxies show it
//	caller      who makes a request, as its credential shows it; package auth has its words
//	store       the NATS identity and the feeds with which a request is answered
//	owner       who is charged for a request: its client, by address or IPv6 site or Unix user; in
//	            the bounds of callers, its caller, if it is not anonymous
//	to hold     to have a part of a bound (internal/bound)
//	to claim    to hold memory before it is used
//	to evict    to end a request whose client has stalled, for one that waits for what it holds
//	to cut      to end an answer by its connection, so that it does not look complete
//	turn        the time in which a request may use a processor; it pauses while the request waits
//	place       the permission to be one of a bounded number of requests, streams or imports
//	delivery    an answer on its way: what it holds, and how fast its client takes it
//	long poll   a GET of a value that waits for the value to change
//	stream      the answer to a watch, as Server-Sent Events or as lines
//	follower    what turns the subscriptions of a stream into its frames
//	tie         what ends something under way with the rights of its caller
//	lines       NDJSON: the form of exports, imports, their reports, and of streams on request
//	report      the answer to an import, which is sent while the import goes on
//	cursor      the place in a listing at which the next page begins
//	grant       a right that a request was found to have, and needs for as long as it lasts
//	under way   said of what can last long, and ends with the rights of its caller
//	to narrow   to leave of a request's filters what the caller may see
//	to withhold to leave out of an answer what the caller may not see
//
// # Files
//
// A resource has a file, and a test file of its name; the names of the other parts of a large one
// begin with that name.
//
//	the surface     server, routes, cors, admit, client, forwarded, exchange, contract
//	                (contract_body, contract_reason), target, unrouted
//	who calls       caller, challenge, tickets, access, rates
//	who may what    rights, withhold, buckets_rights, transactions_rights; underway,
//	                watch_rights, body_rights (the end of it)
//	resources       buckets (buckets_document, buckets_list), keys (keys_delete), values,
//	                writes, patch, entries, import (import_line, import_reader,
//	                import_report), history, markers, transactions (transactions_body,
//	                transactions_operation, transactions_limits, transactions_problems),
//	                watch (watch_request, watch_taken), longpoll, service, index
//	of a request    conditions, prefer, ranges, accept, idempotency, ttl, durations, page, json,
//	                body (body_hold, body_read)
//	of an answer    answer, hold, delivery, list, suggest (suggest_path), problems, and package
//	                problem
//	bounds          owner, connection, http2, work, storage, stream_places, answer_limits,
//	                body_bounds, transactions_limits
//	reading         shared_reads, fresh_reads, memory_lists, list_fallbacks
//	observing       access_log, logged_names, audited, metrics, bound_metrics, feed_metrics,
//	                underway_metrics
//	of tests        harness_test, harness_*_test, *_harness_test, export_test
//
// # The life of a request
//
//	step                      code                          refusals
//	the headers have come     Server.begin
//	place of an open request  Server.enterHTTP2             429, 503 http2-requests (HTTP/2)
//	admission                 Server.admit                  431, 421, 403, 429, 503 request-heads
//	other origins             allowOrigins                  (answers preflight requests)
//	routing                   Server.routeByEscapedPath     404 not-found, 405
//	place to be answered      Server.takeConnectionPlace    429, 503 connection-requests (HTTP/2)
//	turn at work              Server.beginWork              429, 503 requests-at-work
//	who calls                 Server.identify               401, 403 cross-site, 429 overloaded,
//	                                                        503 issuer-unavailable
//	rate of the caller        Server.countRequest           429 request-rate
//	query                     contractChecks.query          400
//	room in the store         Server.checkRoom              507 storage-exhausted (writes)
//	the rights                the endpoint (rights.go)      403 forbidden
//	the endpoint              see routes.go                 all others
//	the rights, again         exchange.recheck              401, 403 (after a body or a wait)
//	a line of the audit log   exchange.beginChange          429, 503 audit-lines (changes)
//	failure                   exchange.fail                 the problem of the error
//	the audit log             exchange.endAudit             (before the answer is sent)
//	the end                   exchange.recovered, finish    500 after a panic
//	a body that nobody read   drain                         (reads on for up to 200 ms)
//
// What happens to an answer depends on how far it has come:
//
//	event                     nothing sent       begun                      connection taken over
//	the endpoint fails        problem document   cut, or a line `problem`   logged
//	a panic                   500 internal       cut                        cut
//	the client goes away      cut, logged 499    cut, logged 499            the stream ends
//	the answer is evicted     (holds nothing)    cut                        goaway `slow`, or cut
//	the answer is too old     (holds nothing)    cut, or a line `problem`   goaway `max-age`
//	the rights are lost       401, 403           cut, or a line `problem`   goaway `permissions`
//
// A request holds these parts of bounds. docs/bounds.md lists the bounds with their limits.
//
//	bound                    held by                 from            until
//	http2-requests           requests over HTTP/2    their headers   the end, or they wait (below)
//	http2-refused            refusals of those       a refusal       it is sent, or 1 s is over
//	request-heads            heads above 8 KiB       admission       the end
//	connection-requests      requests over HTTP/2    the handler     its end, eviction, a wait
//	requests-at-work         requests with a caller  the handler     the end, with pauses
//	body-memory              bodies above 4 KiB      a claim         the answer, or eviction
//	transaction-bodies       bodies above 64 KiB     a claim         the answer, or eviction
//	bucket-requests          lists of buckets, and   the body        the answer is made
//	                         changes of buckets
//	imports                  imports                 the first line  the last, or eviction
//	                         deletions, purges       before a scan   everything is sent
//	audit-lines              changes                 NATS is asked   the line is written
//	answer-bytes             answers above 4 KiB     they are read   the end, or eviction
//	connection-answer-bytes  the same over HTTP/2    they are read   the end, or eviction
//	streams, caller-streams  streams, long polls     before a wait   they end
//	stream-memory            the same; see below     before a wait   they end
//
// A stream, and a long poll from when it may wait for a change, have the place of a stream. Over
// HTTP/2 they give back the two places of their request when they take it (enterStreams). Of
// stream-memory a long poll holds 48 KiB, or 36 KiB over HTTP/2, and a stream 24 KiB; a stream that
// a loop writes holds none of it.
//
// While a request waits for one of these it holds as little as possible: an answer for which there
// is no room is dropped and read again later (readAndHold), and a body has only as much memory as
// has come of it (requestBody). internal/sse/stream says what streams hold.
//
// # Ways through
//
// GET a value: [Server.ServeHTTP] → allowOrigins → chi, on the escaped path → handle → getValue,
// which goes on so:
//
//	checkDestination       refuses a page that would run the value
//	readEntryAndHold       the entry, and room for what the answer takes of it, by these steps:
//	  preconditions          the headers If-Match and If-None-Match
//	  parseWanted            target (the key is decoded once, and the caller needs the right to
//	                         get it), readOptions (how fresh), revision
//	  readAndHold            calls fetchUnlessHad, again if there was no room for the result:
//	    longPoll               if the client has an entry and wants to wait (see below); else
//	    fetch                  fetchFromMemory beside many others; else
//	                           sharedReads.fetch for a large value; else
//	      fetchAlone           one kvclient.Bucket.Get, or GetRevision
//	    the preconditions      412, or the result that the client has the entry already
//	requestedRange         the one range that is asked for
//	setEntryHeaders        then 304 if the client has the entry already; else
//	setStoredHeaders       the type and the encoding of the value
//	sendValue              the bytes, or one range of them
//
// Compare-and-set: parseKeyWrite turns the headers into one kv.Precondition, among what writes of a
// key have in common, and putValue, deleteValue or patchValue hands it to kvclient.Bucket. An error
// that says which revision the key has becomes a 412 with the ETag to send next (package problem).
//
// A listing: keyListingOf or entryListing reads what is wanted, and a cursor names where a page
// begins. Pages are read as a whole and held; lines are sent while they are read. A listWriter
// writes both.
//
// An import: importEntries waits for the first line, takes a place, and starts a report. One
// goroutine reads lines (lineReader, parseImportLine) and gives them to kvclient.Import. Another
// calls back with the outcome of each line, in their order. A third sends the report.
//
// A transaction: parseTransaction reads the operations one by one, and is the only check of their
// form. It finds members as imports do, with a jsonReader.
//
// Settings of a bucket: contractChecks.body reads them with a jsonReader, and checks them against
// the schema of the contract. Then they are decoded, or kvclient applies them as a merge patch.
//
// A long poll: longPoll reads, and while the client has what was read, waits for the key's feed in
// the place of a stream (enterPoll). What the feed has reported it reads from memory where it can
// (fetchReported). Otherwise it shares its reads with the long polls of all clients, but does not
// wait for one in the queue of another client for longer than a moment (sharedReads).
//
// A list: fromMemory finds a state of the bucket in memory that answers it, that which the cursor
// names if it can be. Otherwise NATS is asked, by few requests if memory only lags (shareList).
//
// A watch: parseWatch → an sse.Follower is made, which turns what its subscriptions report into
// frames → enterStreams → subscribe (findTargets, then feed.Hub.Subscribe for each bucket). From
// then on the handlers take no part in it: watchTaken takes the connection over, and a stream.Loops
// asks the Follower and writes; or, over HTTP/2 and TLS and with --stream-loops 0, a stream.Writer
// does, through net/http.
package handlers
