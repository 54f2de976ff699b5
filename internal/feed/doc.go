// Package feed keeps one live view of each watched bucket. A source reads the bucket's stream once
// for everybody who watches it, a bounded log keeps the recent changes, and each subscription
// follows the log with filters and a pace of its own.
//
// The package knows no HTTP, and of NATS only what kvclient reports.
//
// # The log is the queue
//
// A subscription holds a cursor, not a queue: a revision in the log, or a chunk of a reading. So
// the seam between a snapshot and what follows it is simply "the changes above revision R", and a
// client that stops reading costs nobody anything. What the log has dropped is read from the store
// again, or from the feed's copy of the bucket, as long as the feed has seen everything that was
// removed since then (journal.storeHorizon). Where that cannot be proved the subscription is reset:
// it is told that everything it holds is void, and gets a new snapshot.
//
// # A watch, from the request to the events
//
// [Hub.Subscribe] finds or makes the bucket's [Feed] and waits until it is known whether there is
// a source. A subscription without a point then attaches itself to a reading of the snapshot,
// which goes up to a revision R, and after that to the log above R. One with a point begins in the
// log, or in a replay from the store, if everything since the point is known, and otherwise with a
// reset. From then on the caller calls [Subscription.Poll] whenever the subscription's wake
// function was called.
//
// The feed's [source] keeps one pull consumer (a kvclient.Tail) for all subscriptions. What the
// consumer delivers is appended to the log, and the tree of filters finds the subscriptions to
// wake.
//
// # Words
//
//	stream        the JetStream stream of a bucket; only in texts for users, a client's stream
//	source        what reads the stream: one goroutine with one consumer (source.run)
//	start         the source asks where the stream is and makes a consumer; each loss leads to one
//	position      a revision, its epoch and its check; everything up to the feed's has been read,
//	              or is gone
//	log           the recent changes of the bucket, in order
//	horizon       the revision above which the log has every change
//	store horizon the revision above which the store, too, can tell what happened
//	generation    the time between two resets of a feed, as a number that rises
//	era           the same time, as a name that is part of ids; it is random, but for that of
//	              feeds that began on a whole stream
//	whole         of a stream: nothing was ever removed from it
//	stretch       the time in which the log neither began anew nor went on after a loss
//	anchor        the newest message that the feed knows, by which it recognises the stream
//	tally         what the stream was when it was counted, with everything read
//	caught up     the feed is caught up when nothing is stored beyond its position
//	history       which messages a stream was given; after a crash it can be another one from some
//	              revision on. Only in options and settings, the retained messages of a key
//	verification  a comparison of all that the feed knows with the stream (source.verify)
//	verdict       what the source does next, after it has seen something
//	subscription  what one client is sent of a bucket
//	cursor        where a subscription is, in the log or in a reading
//	point         how far a subscription has come; an event's id is made of one and of the stamp
//	stamp         the digest of the bucket's terms, and the era
//	reading       a snapshot or a replay that is read from the copy, or else from the store, for
//	              all who need it
//	open, active  a reading is open while it has a consumer, and active while it reads from it
//	line          the readings of one client and bucket that wait for a place
//	doubt         something may have been removed that the feed does not know of
//	healing       a comparison of the copy with the stream, after which a feed in doubt goes on
//	removal       a key that is gone, though nothing in the stream says so
//	copy          the bucket's current entries in memory; see the package copies
//	current       of a copy, as of a time: it has everything that was stored by then
//	digest        a checksum of a state, which clients compare with what they hold; see digest.go
//	absence       a subscription found the bucket missing before the source did
//	exact         of a position: folding the changes up to it gives exactly the bucket's state
//	fresh         of a position, for a caller: exact, and not before what the leader had when it
//	              was asked after the caller came
//	party         the callers that share a question to the leader
//
// # A source
//
// The state is [sourceState]. A feed that rests is in the state missing and has no goroutine; see
// registry.go. "Begins anew" means that the log is emptied at the stream's last revision, and that
// subscriptions which were there are reset for the reason named.
//
//	event                   starting        live               stale              missing
//	----------------------  --------------  -----------------  -----------------  ----------------
//	the consumer is made,   live; the log   live; the log      live; the log      live; the log
//	nothing contradicts     begins          goes on            goes on            begins anew:
//	what was read                                                                 horizon or epoch
//	the epoch is another    (begins)        begins anew:       begins anew:       begins anew:
//	                                        epoch              epoch              epoch
//	fewer revisions than    (begins)        begins anew:       begins anew:       begins anew:
//	were read or promised                   ahead              ahead              ahead
//	the terms are others    (begins)        begins anew:       begins anew:       begins anew:
//	                                        config             config             config
//	the source is lost      starting;       stale; advisories  stale; advisories  stale
//	                        why is kept     may be missed      may be missed
//	                                        since it was last  since the earlier
//	                                        heard              time
//	advisories were         -               stale, until the   stale              -
//	dropped, or came over                   counts are
//	another connection                      compared
//	the counts prove that   -               -                  live; the log      -
//	nothing was removed                                        goes on, see
//	                                                           continueAfterLoss
//	they do not prove it    -               -                  healed: live; the  -
//	                                                           log goes on. Or
//	                                                           begins anew:
//	                                                           horizon
//	a purge that matters    (no effect)     healed: the log    healed at the      (no effect)
//	                                        goes on, and       next start, or
//	                                        removals are       begins anew:
//	                                        told. Or it        purged
//	                                        begins anew:
//	                                        purged
//	a harmless purge        (no effect)     it is counted, and (as live)          (no effect)
//	                                        the store horizon
//	                                        rises
//	a gap, where what was   -               the source starts  -                  -
//	skipped may have                        again: healed, or
//	vanished by age                         begins anew:
//	                                        horizon
//	the bucket is missing   missing; rests  missing; rests     missing; rests     missing; rests
//	an advisory comes       asked at once   see audit.go       asked at once      roused, unless
//	while the source                                                              it reports a
//	pauses or rests                                                               purge
//	a subscription comes    it waits        -                  it waits for the   roused
//	                                                           next answer
//	one comes that found    -               the stream is      -                  -
//	the bucket missing                      asked at once:
//	(absence)                               it is refuted, or
//	                                        missing
//
// "Healed" is what healing.go says: a feed that has a copy of the bucket compares it with the
// stream, tells subscriptions what is gone, and goes on.
//
// A feed that rests needs a place among the feeds with a source to be roused. Without one it rests
// on: a subscription that came is refused, and every look at the names of all streams tries again.
//
// A start that ends with errRestart leaves the state as it is, and another follows at once. All
// other errors are followed by a pause.
//
// # A subscription
//
// The state is [subscriptionState]; "-" says that it stays. Events are those of the feed, and what
// [Subscription.Poll] then returns is in capitals. "Gives up" leads to resetOwed for horizon, and
// the fourth time in a row, without having been at the end of the log, to leaving.
//
//	state         event                                next          told
//	------------  -----------------------------------  ------------  -----------------------------
//	joining       attached: the bucket is missing, or  foundMissing
//	              was found so (absence)
//	              attached: a point is not accepted    resetOwed
//	              attached: there is no point          inReading
//	              attached: the point is accepted, or  following
//	              only updates are wanted
//	foundMissing  the source finds no bucket either    toldMissing   BUCKETDELETED
//	              there is one (absence is refuted)    inReading     RESET
//	              the source is lost                   -             STALE
//	toldMissing   there is a bucket                    inReading     RESET
//	following     keys are gone that it selects        -             REMOVED; or resetOwed, if
//	                                                                 it cannot be told
//	resetOwed     a poll, and the source is not lost   inReading     RESET, for the reason
//	              the log goes on after a loss         -
//	inReading     a chunk was read                     -             CHANGED
//	              the reading ends at R, where the     following
//	              log is complete
//	              it ends where only the store is      inReading, a
//	                                                   replay
//	              it ends where neither is             gives up
//	              the reading fails                    inReading     from what was sent
//	              markers are missing in it            gives up
//	              the log goes on after a loss, in a   inReading     or resetOwed for horizon, if
//	              snapshot                                           some of it was sent
//	following     a change matches                     -             CHANGED
//	              all is sent up to syncFrom           -             SYNCED
//	              a position is exact, where a         -             BECAMEEXACT
//	              bookmark was not
//	              the log drops what is above the      inReading, a  or gives up, if the store is
//	              cursor                               replay        not complete there
//	              the log goes on after a loss, and    resetOwed     for horizon; what is being
//	              the cursor is ahead of the feed                    matched is dropped
//	                                                                 (relocations)
//	resetOwed,    the log begins anew                  inReading     RESET, for the feed's reason
//	inReading,    the bucket is missing                toldMissing   BUCKETDELETED
//	following     the source is lost                   -             STALE
//	              the source is back                   -             LIVE
//	              NATS denies the source, or the       leaving
//	              reading, to a caller's identity
//	leaving       a poll                               ended         GOAWAY, for the reason
//	all of these  the hub closes                       ended         GOAWAY shutdown
//	              Close                                ended
//
// Some rules bind all states. While the bucket is missing nothing but BucketDeleted is told. While
// the source is stale no reset is told, since a reset would say that the source is back: one that
// comes after Stale, and BucketDeleted too, is preceded by Live. A subscription that found the
// bucket missing before the source did is told nothing until the source has looked (absence).
// While a reset is owed nothing else is sent, and no bookmark is given out.
//
// Four things that a subscription owes are data beside its state; see [Subscription].
//
// # Locks and goroutines
//
// Hub.mu guards which feeds there are; Feed.mu guards a feed, its journal and its subscriptions;
// reading.mu guards what a reading has read, who reads it, and in which line it waits. They are
// taken in this order. A mailbox, a copy and a bound have locks of their own, under which none of
// these is taken. Wake functions may be called with Feed.mu or reading.mu held, and so must not
// call back.
//
// Names and types say which functions need a lock:
//
//   - A method whose name ends in Locked is called with the lock of its type held; the methods of a
//     readingCursor with that of the feed.
//   - Feed.mu guards the following types as a whole, and their methods are called with it held:
//     [journal] with its [changeLog], [exactness], [keyMemory] and [removals], [memory] with its
//     [currency], [interests], [sourceStatus], [waiters], [freshness], [absences], and
//     [Subscription]. The exported methods of a Subscription lock the feed themselves, except for
//     Stamp and Bucket, whose results do not change. So do the few others that say so.
//   - All other methods take the locks that they need.
//
// The goroutine of the source is the only one that touches the source's own fields, its [audit]
// among them. A reading has a goroutine while it is open or waits to be opened, and an inquiry has
// one for each question. All of them are counted in Hub.work, so that [Hub.Close] can wait for
// them.
//
// # Four types, so that decisions are apart from locks and I/O
//
//	journal  what was read of the bucket: the position, the log, the markers, where positions are
//	         exact, and what proves that a point is of this history. Entries go in (append), and
//	         what follows comes out: a change for the subscriptions, or the reason why they hold
//	         outdated state. It says which points it vouches for (vouches), which markers a
//	         reading must include (markersFor), and what became of those that did not come
//	         (explains).
//	audit    what the source needs to judge what it sees: the anchor, the tallies, the delays,
//	         since when advisories may be missed, and why the log is to begin anew. It judges an
//	         advisory, the counts of the stream, a gap and a loss, and returns a verdict.
//	source   one goroutine, which asks the stream, hands what comes to the journal and the audit,
//	         wakes who is concerned, and carries the verdicts out.
//	Feed     the lock, the subscriptions and what they wait for, the readings, and what is known
//	         of the source.
//
// The journal and the audit are plain data: they have no lock, start nothing, wake nobody, and are
// told what time it is. Feed.mu guards the journal; the audit belongs to the source's goroutine.
//
// What is to be read from the store is a list, too (Feed.dueReadings), which startReadings works
// off. So TestInterleavings can drive all decisions against a model of a stream, in thousands of
// orders that a seed determines. Its flag -seed plays one of them again and prints all that
// happened, and -interleavings tries more.
//
// # Files
//
//	hub.go, registry.go     the feeds of one NATS identity, and when they begin, rest and end
//	feed.go                 one feed, and its lock
//	status.go               what is known of the source
//	waiters.go              those that wait for a revision, an exact position or a start
//	journal.go              what was read of the bucket
//	beginning.go            where a journal begins, and when it begins anew
//	memory.go               the copy of the bucket in memory: when there is one
//	keep.go                 buckets that are kept in memory without a watcher
//	copy_load.go            the goroutine that loads it
//	copy_check.go           the one that compares it with the store
//	currency.go             when it was last known to be current
//	memory_read.go          how others read it; memory_stats.go counts what became of it
//	log.go, exactness.go    the recent changes, and at which positions the state is exact
//	freshness.go            callers that wait for a position that has what the leader has
//	fresh.go, crowd.go      reads from memory as new as that, and which reads they are
//	healing.go, compare.go  what is done about a doubt; the comparison of the copy with the stream
//	removals.go             what was found gone, and who is told
//	markers.go              markers, and what becomes of them
//	points.go               which points the journal vouches for
//	history.go, stretch.go  which history a stream is of, and what a loss of the source changes
//	source.go               the source's goroutine
//	verification.go         the comparisons of the feed with its stream
//	inquiry.go              the questions that are asked beside the changes
//	arrivals.go             what the source delivers
//	audit.go                what the source judges by: its state, and advisories
//	tally.go, lateness.go   counts of the stream; when what is stored comes
//	mailbox.go              advisories on their way to the source
//	interest.go             filters, and what they cost
//	reading.go, reader.go   snapshots and replays, and the goroutine of one
//	reader_copy.go          what of them is read from the copy
//	asking.go               questions that subscriptions share
//	line.go                 in whose line a reading waits
//	change.go               changes, events and points
//	subscription.go         a subscription
//	start.go                where a subscription begins, and where it goes on
//	poll.go, bookmark.go    what a subscription sends, and what its ids say
//	batch.go                how much of the log one poll looks at
//
// X_test.go tests what X.go decides, and X_nats_test.go what comes of it with real servers, for
// which lab_test.go and feedtest have the tools. interleave_test.go is TestInterleavings, with its
// model of a stream, of readings and of clients. seam_test.go is its counterpart with a real
// server.
package feed
