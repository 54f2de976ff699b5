package feed

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"kvgateway/internal/feed/copies"
	"kvgateway/internal/kv"
)

// A client comes and goes, and folds what it is sent. It remembers what it held at every id that
// it got.
type client struct {
	world   *world
	name    int
	filters kv.Filters
	// removals: it can be told of removals.
	removals bool
	// s is its subscription; nil while it is away.
	s *Subscription
	// wakeUp has a token when the subscription has woken it.
	wakeUp chan struct{}
	// synced: Synced was sent since it came, or since the last reset.
	synced bool
	// asleep: there was nothing to send when it polled last.
	asleep bool
	// foreign: what it holds is of another gateway, and does not say what expires.
	foreign bool
	held
	// past is what it held at each id that it got, the oldest first.
	past []held
}

// held is what a client has of a bucket.
type held struct {
	// state has the values of the keys.
	state map[string]string
	// staged has what comes between a reset, or the beginning, and Synced; nil at other times.
	staged map[string]string
	// last is the revision of the last change.
	last kv.Revision
	// point is that of the last id; nil for none.
	point *Point
	// stamp came with it.
	stamp string
}

func (h held) clone() held {
	h.state, h.staged = maps.Clone(h.state), maps.Clone(h.staged)
	return h
}

// act lets the client do one thing: arrive, poll, ask for a bookmark, or leave.
func (c *client) act() {
	w := c.world
	n := w.rand.IntN(100)
	switch {
	case c.s == nil:
		c.arrive()
	case n < 60:
		c.poll(1 + w.rand.IntN(6))
	case n < 90:
		c.bookmark()
	default:
		c.leave()
	}
}

// arrive subscribes anew, or with an id that the client got at some time.
func (c *client) arrive() {
	w := c.world
	status := &w.feed.status
	if status.state != live && status.state != stale || status.why != nil {
		return
	}
	options := SubscribeOptions{
		Filters: c.filters, IncludeHistory: c.name == 1, Removals: c.removals, Digest: true,
	}
	c.foreign = false
	c.held = held{staged: make(map[string]string)}
	switch {
	case w.otherGateway():
		c.held = held{
			state: w.selected(w.last, c.filters), last: w.last,
			point: &Point{Position: w.position()},
		}
		options.Resume, c.foreign = c.point, true
	case len(c.past) > 0 && (w.calm || w.rand.IntN(10) > 0):
		recent := len(c.past) - 1 - w.rand.IntN(min(1+w.rand.IntN(30), len(c.past)))
		c.held = c.past[recent].clone()
		options.Resume, options.Stamp = c.point, c.stamp
	}
	c.wakeUp, c.asleep, c.synced = make(chan struct{}, 1), false, false
	s := &Subscription{
		feed: w.feed, options: options, wake: WakeByToken(c.wakeUp), keys: -1, folds: true,
		tokens: tokensOf(c.filters),
	}
	if options.Resume != nil {
		if w.missing {
			return
		}
		s.lossesThen = w.feed.journal.losses
		state := w.model.state()
		check := w.feed.journal.checkAt(c.point.Revision)
		if !check.Known() {
			stored, known := w.feed.storedInCopy(c.point.Revision, state)
			if !known || w.copyRand.IntN(2) == 0 {
				stored = w.storedAt(c.point.Revision)
			}
			check = kv.CheckOf(stored)
		}
		proof := c.point.compare(check)
		w.meanwhile()
		w.counts["resumed"]++
		w.counts[[...]string{"unproved", "same history", "other history"}[proof]]++
		s.decide(state, proof)
		w.deciding = true
		for w.rand.IntN(3) == 0 {
			w.source()
		}
		w.deciding = false
	}
	w.feed.mu.Lock()
	if s.isOutdated() {
		w.counts["outdated"]++
	}
	s.attach(false)
	w.feed.mu.Unlock()
	w.collect()
	s.joinDigest()
	c.s, c.stamp = s, s.Stamp()
	s.wake()
	w.note("client %d comes with %+v", c.name, c.point)
}

func (c *client) leave() {
	if c.s == nil {
		return
	}
	c.world.note("client %d leaves", c.name)
	c.s.detach()
	c.s = nil
}

// visible returns what the client has, without the values whose end has come.
func (c *client) visible() map[string]string {
	visible := make(map[string]string)
	for key, value := range c.state {
		value, end, _ := strings.Cut(value, " until ")
		ends, err := strconv.ParseInt(end, 10, 64)
		if err != nil || c.world.clock.Before(time.Unix(0, ends)) {
			visible[key] = value
		}
	}
	return visible
}

// poll polls, unless there was nothing to send and the client was not woken since. It may lose the
// connection within what it gets.
func (c *client) poll(limit int) {
	w := c.world
	select {
	case <-c.wakeUp:
	default:
		if c.asleep {
			return
		}
	}
	events, next := c.s.poll(nil, limit)
	w.collect()
	if next.batch != nil {
		c.letOthersGoOn()
		w.counts["batch"]++
		if events, next.more = c.s.finishBatch(next.batch, events); len(events) == 0 {
			w.counts["poll in vain"]++
		}
	}
	c.asleep = !next.more
	heard := len(events)
	cut := !w.calm && w.rand.IntN(30) == 0
	if cut {
		heard = w.rand.IntN(heard + 1)
	}
	for _, e := range events[:heard] {
		c.receive(e)
	}
	if cut || len(events) > 0 && events[len(events)-1].Kind == GoAway {
		c.leave()
	}
}

// letOthersGoOn does so while the client matches changes without the feed's lock.
func (c *client) letOthersGoOn() {
	w := c.world
	w.deciding = true // the feed is not ended meanwhile
	for !w.calm && w.rand.IntN(2) == 0 {
		w.meanwhile()
		w.source()
	}
	w.deciding = false
}

// pollAll polls until there is nothing more, and subscribes before if need be.
func (c *client) pollAll() {
	if c.s == nil {
		c.arrive()
	}
	for range 100 {
		if c.s != nil {
			c.poll(100)
		}
	}
}

// heartbeat does what a heartbeat of a stream does: it asks for a bookmark, and polls.
func (c *client) heartbeat() {
	if c.s == nil {
		return
	}
	c.bookmark()
	c.asleep = false
	c.pollAll()
}

// bookmark asks for one, and compares the state if it is said to be exact.
func (c *client) bookmark() {
	point, exact, digest, ok := c.s.Bookmark()
	if !ok {
		return
	}
	c.remember(point)
	if exact {
		c.compare(point)
		c.compareDigest(point, digest)
	}
}

// remember keeps what is held at a point.
func (c *client) remember(p Point) {
	c.point = &p
	c.past = append(c.past, c.held.clone())
}

// receive folds an event.
func (c *client) receive(e Event) {
	w := c.world
	switch e.Kind {
	case Reset:
		w.note("client %d: reset %s", c.name, e.Reason)
		w.counts["reset "+e.Reason]++
		c.staged, c.last, c.synced, c.stamp = make(map[string]string), 0, false, e.Stamp
		c.foreign = false
		c.remember(e.Point)
	case Removed:
		c.drop(e.Removed)
	case Restamped:
		w.counts["restamped"]++
		c.stamp = e.Stamp
	case BucketDeleted:
		c.state, c.staged, c.last = make(map[string]string), nil, 0
		c.remember(e.Point)
	case Synced:
		w.note("client %d: sync at %d, exact %v", c.name, e.Point.Revision, e.Exact)
		c.synced = true
		if c.staged != nil {
			c.state, c.staged = c.staged, nil
		}
		c.remember(e.Point)
		if e.Exact {
			c.compare(e.Point)
			c.compareDigest(e.Point, e.Digest)
		}
	case BecameExact:
		w.counts["became exact"]++
		c.remember(e.Point)
		c.compare(e.Point)
		c.compareDigest(e.Point, e.Digest)
	case Changed:
		c.change(e.Change)
	}
}

// change folds a change, which must be newer than the one before and match the filters.
func (c *client) change(change *Change) {
	c.world.note("client %d: %s %s at %d, snapshot %d",
		c.name, change.Operation, change.Key, change.Revision, change.Snapshot)
	if change.Revision <= c.last || !c.filters.Matches(change.Key) {
		c.world.fail("client %d got %s at %d after %d", c.name, change.Key, change.Revision, c.last)
	}
	c.last = change.Revision
	into := c.state
	if c.staged != nil {
		into = c.staged
	}
	if change.IsMarker() {
		delete(into, change.Key)
	} else {
		into[change.Key] = string(change.Value)
		if !change.Expires.IsZero() {
			into[change.Key] += fmt.Sprintf(" until %d", change.Expires.UnixNano())
		}
	}
	point := Point{Position: change.Position}
	if change.Snapshot > 0 {
		to := kv.Position{
			Epoch: change.Epoch, Revision: change.Snapshot, Check: change.SnapshotCheck,
		}
		point = Point{Position: to, InSnapshot: true, Sent: change.Revision}
	}
	c.remember(point)
}

// compareDigest compares the digest that was told at an exact point with that of what the client
// holds: it is of the point, however far the feed is ahead. While the feed has yet to hear of
// purges, a client that has just read a snapshot may know more than the feed.
func (c *client) compareDigest(p Point, digest string) {
	w := c.world
	if digest == "" || c.foreign || !w.knowsAll() {
		w.counts["no digest"]++
		return
	}
	w.counts["digest"]++
	if p.Revision < w.feed.journal.Revision {
		w.counts["digest behind the feed"]++
	}
	var sum copies.Sum
	for key, value := range c.state {
		revision, _, _ := strings.Cut(value, ".")
		n, err := strconv.ParseUint(revision, 10, 64)
		if err == nil && !strings.Contains(value, " until ") {
			sum.Add(&kv.Entry{Key: key, Position: kv.Position{Revision: kv.Revision(n)}}, 1)
		}
	}
	if digest != sum.String() {
		w.fail("client %d has %v at %d, the digest %s; it was told %s",
			c.name, c.state, p.Revision, sum, digest)
	}
}

// compare compares what the client holds with the model, at a point that is called exact. It does
// not while the feed has yet to hear of purges, new settings or losses, since nobody can be right
// then.
func (c *client) compare(p Point) {
	w := c.world
	if !w.knowsAll() || p.Epoch != w.epoch || w.missing {
		return
	}
	w.counts["exact"]++
	want := w.selected(p.Revision, c.filters)
	if c.staged != nil || !maps.Equal(c.visible(), want) {
		w.fail("client %d has %v at %d, which was called exact; want %v",
			c.name, c.visible(), p.Revision, want)
	}
}
