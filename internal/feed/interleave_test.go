package feed

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

var (
	interleavings = flag.Int("interleavings", 2000,
		"how many random interleavings TestInterleavings tries")
	onlySeed = flag.Uint64("seed", 0, "the only seed that TestInterleavings tries")
)

// mustHappen are the events that the interleavings together must have had. Otherwise they show
// nothing of them.
var mustHappen = []string{
	"exact", "became exact", "resumed", "replay", "unvouched",
	"batch", "poll in vain", "dropped", "rest",
	"reset horizon", "reset purged", "reset epoch", "reset config",
	"gap", "silence", "feed", "crash", "lost end", "restart after a crash",
	"trusted", "trusted after a loss", "renamed", "same history", "other history",
	"other gateway", "ahead of a loss", "outdated",
	"healed", "healed a key", "removed", "reset reverted", "restamped",
	"copy exact", "copy pinned", "copy dropped in its load",
	"read from the copy", "replay from the copy", "continued in the copy", "not from the copy",
	"digest", "digest behind the feed", "no digest",
}

// TestInterleavings shows that in any interleaving of writers, purges, lost connections, readings,
// and clients that come, go and resume with any id that they ever got, revisions rise, none comes
// twice, the folded state is the bucket's wherever it is called exact, and in the end it is so for
// everybody. Nothing but the decisions runs: the stream is a model, and what goroutines would do
// is done step by step, in an order that the seed determines.
func TestInterleavings(t *testing.T) {
	t.Parallel()
	total := make(map[string]int)
	if *onlySeed != 0 {
		t.Log(replayed(*onlySeed))
		return
	}
	for seed := uint64(1); seed <= uint64(*interleavings); seed++ {
		w := newWorld(seed)
		if w.play(); w.wrong {
			t.Fatalf("go test ./internal/feed -run TestInterleavings -seed %d\n%s",
				seed, replayed(seed))
		}
		w.counts["healed"] += int(w.hub.stats.Healing.Heals.Load())
		for name, n := range w.counts {
			total[name] += n
		}
	}
	t.Log(total)
	for _, what := range mustHappen {
		if total[what] == 0 {
			t.Errorf("never: %s", what)
		}
	}
}

// replayed plays a world once more and returns its journal.
func replayed(seed uint64) string {
	w := newWorld(seed)
	w.recording = true
	w.play()
	return strings.Join(w.journal, "\n")
}

// A world is a stream, a feed of it, what the feed's goroutines are about to do, and clients. Each
// step of it does one thing that one of the goroutines, a writer or a client would do.
type world struct {
	*model
	// seed determines everything that happens.
	seed uint64
	hub  *Hub
	feed *Feed
	// tail is the source's consumer; nil while there is no source.
	tail *modelTail
	// readings are those that have been started and have not ended.
	readings []*modelReading
	clients  []*client
	// load loads the feed's copy; nil while nothing does.
	load *modelLoad
	// copyRand is for what concerns the copy, so that it does not change what happens otherwise.
	copyRand *rand.Rand
	// lastHeard is when the source said something last.
	lastHeard time.Time
	// noticedAt is when it is noticed that the connection brings nothing any more; zero while it
	// does.
	noticedAt time.Time
	// connectionLost: the gateway's own connection was lost, and no other has been used yet. It is
	// not set if what lies behind the connection was lost.
	connectionLost bool
	// resting: the bucket is missing, and the feed has no goroutine.
	resting bool
	// deciding: a client is within a decision, so that the feed cannot be ended.
	deciding bool
	// knowsPurges, knowsUpdates and knowsLosses are the purges of values, the updates of the
	// configuration and the losses of the stream's end that the feed has begun after. It may also
	// have gone on after a loss.
	knowsPurges, knowsUpdates, knowsLosses int
	// asked is the question under way; nil for none.
	asked *modelInquiry
	// calm: nothing happens any more but what brings everything to its end.
	calm bool
	// writersPause is for how many more steps the writers rest; negative if they do not.
	writersPause int
	// pace says how often the stream changes, the source goes on and the readings go on, beside 30
	// for the clients.
	pace [3]int
	// counts counts what happened, by name.
	counts map[string]int
	// recording: the journal is written.
	recording bool
	journal   []string
	// wrong: something happened that must not.
	wrong bool
}

// A modelInquiry is a question about the stream's last number. It is sent, answered and handled at
// different times.
type modelInquiry struct {
	question
	// state is the stream's answer; nil until it has answered.
	state *kvclient.StreamState
}

// A modelTail is a consumer.
type modelTail struct {
	epoch kv.Epoch
	// last is the revision of the last message that it delivered.
	last kv.Revision
	// maxAge is the bucket's, as it was when the consumer was made.
	maxAge time.Duration
}

// newWorld makes the world of a seed: what can happen in it, and how often, follows from the seed.
func newWorld(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 0))
	w := &world{seed: seed, model: newModel(r), counts: make(map[string]int)}
	w.copyRand = rand.New(rand.NewPCG(seed, 18))
	w.hub = newHub(Options{LogChanges: 1 + r.IntN(12), Memory: 1 << 30}.withDefaults())
	w.hub.pollLimit = pollLimit{changes: 1 + r.IntN(5), tokens: 1 << 10, lockedTokens: r.IntN(12)}
	w.pace = [3]int{1 + r.IntN(1+r.IntN(60)), 1 + r.IntN(1+r.IntN(60)), 1 + r.IntN(1+r.IntN(60))}
	w.newFeed()
	for i, patterns := range [][]string{nil, {"a.*"}, {"a.1", "b.>"}, {"b.0"}} {
		var fs kv.Filters
		for _, pattern := range patterns {
			f, err := kv.ParseFilter(pattern)
			if err != nil {
				panic(err)
			}
			fs = append(fs, f)
		}
		w.clients = append(w.clients, &client{
			world: w, name: i, filters: fs, removals: w.copyRand.IntN(2) == 0,
		})
	}
	return w
}

// newFeed replaces the feed by a new one, as another gateway would have it.
func (w *world) newFeed() {
	name, _ := kv.ParseBucketName("b")
	w.feed, w.tail, w.asked, w.readings = newFeed(w.hub, name), nil, nil, nil
	w.load = nil
	w.advisories, w.resting = nil, false
	w.lastHeard, w.noticedAt, w.connectionLost = w.clock, time.Time{}, false
	w.feed.source.audit.delays = delays{periodStart: w.clock} // there is only one clock
	w.feed.source.truth = modelTruth{w}
	w.feed.now = func() time.Time { return w.clock }
	w.feed.source.lastHeard = func() time.Time { return w.lastHeard }
	w.counts["feed"]++
}

// note writes into the journal, if the world is played again to see what happened.
func (w *world) note(format string, args ...any) {
	if !w.recording {
		return
	}
	w.journal = append(w.journal, fmt.Sprintf(format, args...))
}

// fail notes that something happened that must not.
func (w *world) fail(format string, args ...any) {
	w.wrong = true
	w.note("WRONG: "+format, args...)
}

// play takes some hundred steps, and then brings everything to its end.
func (w *world) play() {
	steps := 100 + w.rand.IntN(300)
	for range steps {
		w.step()
		w.compareCopy()
		if w.wrong {
			return
		}
	}
	w.settle()
}

// step lets one of the goroutines, the writers or the clients do one thing.
func (w *world) step() {
	w.clock = w.clock.Add(20 * time.Millisecond)
	w.age()
	if w.tail != nil && w.noticedAt.IsZero() {
		w.lastHeard = w.clock
	}
	switch n := w.rand.IntN(w.pace[0] + w.pace[1] + w.pace[2] + 30); {
	case n < w.pace[0]:
		if w.writersPause--; w.writersPause < 0 {
			w.change((*model).changeOnce)
		} else if w.rand.IntN(10) == 0 {
			w.change((*model).shrink)
		}
	case n < w.pace[0]+w.pace[1]:
		w.source()
	case n < w.pace[0]+w.pace[1]+w.pace[2]:
		w.readSome()
		w.loadSome()
	default:
		w.clients[w.rand.IntN(len(w.clients))].act()
	}
}

// change changes the stream, and sometimes lets the writers rest afterwards.
func (w *world) change(how func(*model)) {
	last, messages, purges := w.last, len(w.messages), w.purges
	w.model.markers = w.feed.journal.markers
	how(w.model)
	if w.rand.IntN(40) == 0 || w.purges > purges && w.rand.IntN(2) == 0 {
		w.writersPause = w.rand.IntN(40) // writers rest
	}
	if w.recording {
		w.note("stream at %s %d (%d messages), was %d (%d)%s",
			w.epoch, w.last, len(w.messages), last, messages, w.newest(last))
	}
}

// meanwhile changes the stream between two things that a goroutine does, now and then.
func (w *world) meanwhile() {
	for !w.calm && w.writersPause <= 0 && w.rand.IntN(4) == 0 {
		w.change((*model).changeOnce)
	}
}

// source lets the source's goroutine do one thing. An advisory is handled in time: less than
// advisoryDelay after it was reported.
func (w *world) source() {
	n := w.rand.IntN(100)
	urgent := len(w.advisories) > 0 && w.clock.Sub(w.advisories[0].at) > advisoryDelay*9/10
	switch {
	case w.tail == nil:
		w.connect()
	case !w.noticedAt.IsZero():
		w.awaitNotice()
	case urgent, len(w.advisories) > 0 && n < 30:
		w.handleNext()
	case n < 75:
		w.deliver(1 + w.rand.IntN(4))
	case n < 90:
		w.inquire()
	case n < 95 && w.rand.IntN(100) < w.chance.cut:
		w.cut()
	case n < 97:
		w.crashAll()
	case n > 97 && !w.deciding && w.rand.IntN(100) < w.chance.restart:
		w.restart()
	default:
		w.check()
	}
}

// restart begins another feed of the bucket, as after the first has lingered, or in another
// process.
func (w *world) restart() {
	w.note("another feed")
	for _, c := range w.clients {
		c.leave()
	}
	w.newFeed()
}

// crash takes the stream's server down: what it had not synced is lost, or an old version gives
// the stream another epoch as it starts again. It reports whether the stream has changed.
func (w *world) crash() bool {
	if w.missing || w.calm {
		return false
	}
	w.model.read = w.feed.journal.Revision
	loses := w.rand.IntN(100) < w.chance.lose && w.lose()
	moves := w.rand.IntN(100) < w.chance.move
	if moves {
		w.move()
	}
	if !loses && !moves {
		return false
	}
	w.counts["crash"]++
	if loses {
		w.counts["lost end"]++
	}
	w.note("the server has crashed; lost %v, epoch %s, at %d", loses, w.epoch, w.last)
	for range w.rand.IntN(20) {
		w.change((*model).changeOnce)
	}
	return true
}

// crashAll takes the server down, and with it the connection, and perhaps the gateway, whose
// clients then come back with their last ids.
func (w *world) crashAll() {
	if !w.crash() {
		return
	}
	w.end(kv.ErrTimeout)
	w.advisories, w.noticedAt, w.connectionLost = nil, time.Time{}, true
	w.report(kvclient.Advisory{Kind: kvclient.Reconnected})
	if !w.deciding && w.rand.IntN(2) == 0 {
		w.counts["restart after a crash"]++
		w.restart()
	}
}

// otherGateway reports whether a client comes from another gateway, with an id of where the stream
// is. It does not in worlds with purges: a feed that is behind judges a purge by what it has read,
// and the client may hold more.
func (w *world) otherGateway() bool {
	purges := w.chance.purge + w.chance.purgeMarkers + w.chance.delete
	if w.missing || w.updates > 0 || purges > 0 || w.forgets || w.lastTime.IsZero() ||
		w.rand.IntN(3) > 0 {
		return false
	}
	w.counts["other gateway"]++
	return true
}

// connect lets the source start, as source.readStream does, with pauses in which the stream
// changes.
func (w *world) connect() {
	if w.resting && !w.roused() {
		return
	}
	f := w.feed
	src := f.source
	if !src.audit.missedSince.IsZero() && w.rand.IntN(2) == 0 {
		w.crash() // a server behind the connection, or the same once more
	}
	if len(w.advisories) > 0 && w.rand.IntN(2) == 0 { // as source.pauseForRetry does
		_ = src.handleAdvisory(w.advisories[0].Advisory)
		w.advisories = w.advisories[1:]
	}
	if w.missing {
		src.noteLost(kv.ErrBucketNotFound)
		w.meanwhile()
		w.resting = len(w.advisories) == 0 // as Hub.restFeed does
		return
	}
	s, purges, updates, losses := w.state(), w.purges, w.updates, w.losses
	moved := f.journal.Epoch != "" && f.journal.Epoch != s.Epoch && src.audit.anchor.identifies()
	// As source.recogniseStream does.
	if moved && src.audit.anchor.survives(s, w.storedAt(src.audit.anchor.revision)) {
		src.moveEpoch(s.Epoch)
		w.counts["renamed"]++
	}
	w.meanwhile()
	anew := w.connectionLost
	if anew {
		src.audit.noteMissed(src.lastHeard()) // as source.noteAdvisoryPeriod does
		w.connectionLost = false
	}
	revision, begun := src.startAt(nil, s)
	if begun {
		w.knowsPurges, w.knowsUpdates, w.knowsLosses = purges, updates, losses
	}
	w.meanwhile()
	if anew && !begun {
		w.advisories = nil // the subscriptions to advisories came late
	}
	if w.missing || w.epoch != s.Epoch {
		src.noteLost(kv.ErrBucketNotFound)
		return
	}
	lost := !src.audit.missedSince.IsZero()
	if lost || src.audit.doubt != "" {
		purges, heals := w.purges, w.hub.stats.Healing.Heals.Load()
		err := src.judgeLoss(w.state(), w.storedAt(src.audit.anchor.revision))
		w.note("after the doubt: %v", err)
		if err != nil && !errors.Is(err, errRestart) {
			src.noteLost(err)
		}
		if err != nil {
			return
		}
		if w.hub.stats.Healing.Heals.Load() > heals {
			w.knowsPurges = max(w.knowsPurges, purges)
		}
	}
	if lost {
		w.counts["trusted"]++
		if w.knowsLosses != losses {
			w.counts["trusted after a loss"]++
		}
		w.knowsLosses = losses // what was lost had not been read
		for s := range f.subs {
			if s.generation == f.journal.generation && s.isAhead() {
				w.counts["ahead of a loss"]++
			}
		}
		f.continueAfterLoss()
	}
	f.setState(live, nil)
	w.tail, w.lastHeard = &modelTail{s.Epoch, revision, s.Terms.MaxAge}, w.clock
	w.note("source at %d, begun %v", revision, begun)
}

// roused reports whether a feed that rests has been given a source again: by an advisory, or by a
// look at the names of the streams. A feed that nobody uses is dropped.
func (w *world) roused() bool {
	w.counts["rest"]++
	used := slices.ContainsFunc(w.clients, func(c *client) bool { return c.s != nil })
	if !w.calm && !w.deciding && !used {
		w.restart()
		return true
	}
	for len(w.advisories) > 0 && w.resting {
		w.resting = w.advisories[0].Kind != kvclient.StreamCreated
		w.advisories = w.advisories[1:]
	}
	if w.resting && !w.missing && (w.calm || w.rand.IntN(5) == 0) {
		w.resting = false
	}
	return !w.resting
}

// end ends the consumer with an error, as source.run would see it.
func (w *world) end(err error) {
	w.note("source: %v", err)
	w.tail, w.asked = nil, nil
	if !errors.Is(err, errRestart) {
		w.feed.source.noteLost(err)
	}
}

// handleNext handles the oldest advisory.
func (w *world) handleNext() {
	a, number := w.advisories[0].Advisory, w.advisories[0].number
	w.advisories = w.advisories[1:]
	w.note("advisory %+v", a)
	err := w.feed.source.handleAdvisory(a)
	if err == nil {
		err = w.heal(number)
	}
	if err != nil {
		w.end(err)
	}
}

// cut loses the connection, and some of the advisories that were under way. It may take a while
// until anybody notices.
func (w *world) cut() {
	w.counts["gap"]++
	for range min(w.rand.IntN(3), len(w.advisories)) {
		if w.handleNext(); w.tail == nil {
			break
		}
	}
	if w.tail == nil {
		return
	}
	w.noticedAt = w.clock
	if w.rand.IntN(2) == 0 {
		w.counts["silence"]++
		w.noticedAt = w.clock.Add(time.Duration(w.rand.Int64N(int64(5 * time.Second))))
	}
	w.note("the connection brings nothing any more")
	w.awaitNotice()
}

// awaitNotice compares the stream over other connections, until it is noticed that the source is
// dead. Advisories are lost meanwhile.
func (w *world) awaitNotice() {
	w.advisories = nil
	if w.clock.Before(w.noticedAt) {
		w.check()
	}
	if w.tail != nil && w.clock.Before(w.noticedAt) {
		return
	}
	if w.tail != nil {
		w.end(kv.ErrTimeout)
	}
	w.advisories, w.noticedAt, w.connectionLost = nil, time.Time{}, w.rand.IntN(2) == 0
	if w.connectionLost {
		w.report(kvclient.Advisory{Kind: kvclient.Reconnected})
	}
}

// deliver lets the consumer deliver up to count messages.
func (w *world) deliver(count int) {
	if w.tail.epoch != w.epoch || w.missing {
		w.end(kv.ErrUnavailable)
		return
	}
	entries := w.after(w.tail.last, count)
	if len(entries) == 0 {
		return
	}
	w.tail.last = entries[len(entries)-1].Revision
	for i := range entries {
		entries[i].Expires = expires(entries[i].Created, w.tail.maxAge)
	}
	found := w.feed.source.deliver(entries)
	w.note("feed took %d up to %d", len(entries), w.tail.last)
	if err := w.feed.source.carryOut(found); err != nil {
		w.end(err)
	}
}

// inquire goes on with a question, as an inquiry does beside the messages that are delivered.
func (w *world) inquire() {
	switch {
	case w.asked == nil:
		w.asked = &modelInquiry{question: w.feed.source.newQuestion()}
	case w.missing:
		w.asked = nil
	case w.asked.state == nil:
		s := w.state()
		w.asked.state = &s
	default:
		asked := w.asked
		w.asked = nil
		if _, err := w.feed.source.compareAnswer(asked.question, *asked.state); err != nil {
			w.end(err)
		}
	}
}

// check compares the feed with the stream, as source.verify does.
func (w *world) check() {
	src := w.feed.source
	q := src.newQuestion()
	revision := q.revision
	if w.missing {
		w.end(kv.ErrBucketNotFound)
		return
	}
	s := w.state()
	w.meanwhile()
	beyond, err := src.compareAnswer(q, s)
	switch {
	case err != nil:
		w.end(err)
	case !beyond || w.missing || w.epoch != s.Epoch:
	case len(w.after(revision, 1)) == 0 && s.Lifetime > 0:
		src.advance(s.Last, kv.CheckOf(s.LastTime))
		w.end(src.carryOut(doubtFor(ReasonHorizon)))
	case len(w.after(revision, 1)) == 0:
		src.advance(s.Last, kv.CheckOf(s.LastTime))
	}
}

// settle brings everything to its end: nothing more happens, and every client must be sent
// everything that happened.
func (w *world) settle() {
	w.note("nothing more happens")
	if w.tail != nil && !w.noticedAt.IsZero() {
		w.clock = w.noticedAt
		w.age()
		w.awaitNotice()
	}
	if w.missing {
		w.create()
		w.report(kvclient.Advisory{Kind: kvclient.StreamCreated})
	}
	w.calm = true
	for range 10 {
		for range 50 {
			if w.tail == nil {
				w.connect()
			}
			for w.tail != nil && len(w.advisories) > 0 {
				w.handleNext()
			}
			if w.tail != nil {
				w.deliver(1000)
			}
			if w.tail != nil {
				w.check()
			}
			for _, c := range w.clients {
				c.pollAll()
			}
			for range 20 {
				w.readSome()
				w.loadSome()
			}
			w.compareCopy()
		}
		for _, c := range w.clients {
			if !c.synced {
				w.fail("client %d had no sync before a heartbeat: state %d, asleep %v, cursor %d, "+
					"due %v from %d, position %d, pending %d",
					c.name, c.s.state, c.asleep, c.s.cursor,
					c.s.syncDue, c.s.syncFrom, w.feed.journal.Revision, c.s.pending)
			}
			c.heartbeat()
		}
	}
	if !w.feed.memory.complete {
		w.fail("there is no copy in the end")
	}
	for _, c := range w.clients {
		if point, exact, _, ok := c.s.Bookmark(); !ok || !exact || point.Revision != w.last {
			w.fail("client %d is at %+v in the end, exact %v; the stream is at %d",
				c.name, point, exact, w.last)
		}
		want := w.selected(w.last, c.filters)
		if c.staged != nil || !maps.Equal(c.visible(), want) {
			w.fail("client %d has %v in the end, want %v", c.name, c.state, want)
		}
	}
}

// newest describes what is stored above a revision.
func (w *world) newest(last kv.Revision) (text string) {
	for _, e := range w.after(last, len(w.messages)) {
		text += fmt.Sprintf(" %s %s", e.Operation, e.Key)
	}
	return text
}
