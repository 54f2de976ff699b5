package feed

import (
	"slices"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

const (
	// askForCallersEvery is the least time between two questions for which callers wait, instead
	// of askEvery: at most 1,000 questions a second for each bucket.
	askForCallersEvery = time.Millisecond
	// freshPatience bounds how long callers wait for a position that is fresh. Where nothing is
	// wrong, it takes 1 to 3 ms, most of which is the time between two questions.
	freshPatience = 30 * time.Millisecond
	// minRest is how long callers do not wait after others have waited in vain, and maxRest is how
	// long at most when that happens again and again.
	minRest, maxRest = 20 * time.Millisecond, 5 * time.Second
)

// A freshness has the callers that want to read what the feed has, as new as the leader had it when
// they came. It lets them share the questions to the leader, so that a thousand reads cost NATS one
// question.
//
// # The law
//
// A position is fresh for a caller if it is exact (see [exactness]) and at or beyond the last
// revision that the stream's leader named in answer to a question that was sent after the caller
// came. Whatever was acknowledged before the caller came has a revision up to that one, so that the
// state at such a position has it.
//
// The answer says nothing of how far the feed is: it comes over another connection than the
// messages, and is often there before them (TestFreshReadWaitsForAFeedThatIsHeldBack).
//
// # The states of a party
//
// The callers that share a question are a [party].
//
//	event                                  coming       asked         answered      over
//	-------------------------------------  -----------  ------------  ------------  ----
//	a caller comes                         it joins     (a new party is coming)
//	a question is sent                     asked        -             -             -
//	its answer comes                       -            answered      -             -
//	a fresh position is reached            -            -             over: fresh   -
//	the answer lacks what must be there    -            over          -             -
//	the answer is an error                 -            over          -             -
//	the source starts anew                 -            over          over          -
//	the source is lost                     over         over          over          -
//	freshPatience has passed               over         over          over          -
//
// One party at most is coming, and one is asked. Several can be answered, while the feed lags
// behind the leader or skips messages. A further question is sent for them where only that can make
// a position exact.
//
// # Rests
//
// In a pipelined flood of writes no position is exact for seconds, where NATS hangs no question is
// answered, and the counts can stay unexplained. So after a party that has waited in vain nobody
// waits for some time, which doubles each time until a party was answered again.
//
// Feed.mu guards a freshness and its parties, except for the results of a party that is over.
type freshness struct {
	// coming are the callers that came since the last question was sent; nil for none.
	coming *party
	// sent are the parties whose question was sent, in that order.
	sent []*party
	// rest is how long the rest after the next party that waits in vain is; 0 stands for minRest.
	rest time.Duration
	// restUntil is when the rest ends.
	restUntil time.Time
}

// A party is the callers that share a question.
type party struct {
	// callers is how many there are.
	callers int
	// need is what the leader said was its last revision; meaningless before answered is set.
	need kv.Revision
	// at is when it said so, by the server's clock.
	at time.Time
	// answered: the answer has come.
	answered bool
	// patience ends the wait when it fires.
	patience *time.Timer
	// over is closed when the wait has ended. The fields below are set before that, and not
	// changed afterwards.
	over chan struct{}
	// fresh is the result, if why is Answered.
	fresh Fresh
	// why says why there is no result.
	why Fallback
}

// A Fresh is a position whose state has everything that the leader had when a caller came.
type Fresh struct {
	// Position is the feed's.
	kv.Position
	// At is when the leader was asked, by the server's clock.
	At time.Time
}

// join adds a caller. It returns its party; first reports whether the caller is the first one, so
// that the party's timer has to be set and a question to be sent.
func (f *freshness) join() (p *party, first bool) {
	if f.coming == nil {
		f.coming = &party{over: make(chan struct{})}
	}
	f.coming.callers++
	return f.coming, f.coming.callers == 1
}

// wantsQuestion reports whether a question would help somebody. unasked says that one would help to
// make a position exact.
func (f *freshness) wantsQuestion(unasked bool) bool {
	return f.coming != nil || unasked && len(f.sent) > 0
}

// ask notes that a question is about to be sent, and returns the party whose it is; nil for none.
func (f *freshness) ask() *party {
	p := f.coming
	if p != nil {
		f.coming, f.sent = nil, append(f.sent, p)
	}
	return p
}

// answer notes the answer to the question of a party, which may be nil or over.
func (f *freshness) answer(p *party, s kvclient.StreamState) {
	if p != nil {
		p.need, p.at, p.answered = s.Last, s.At, true
	}
}

// reach ends the waits for what is fresh at an exact position.
func (f *freshness) reach(position kv.Position) {
	waiting := f.sent[:0]
	for _, p := range f.sent {
		if !p.answered || position.Revision < p.need {
			waiting = append(waiting, p)
			continue
		}
		p.fresh = Fresh{position, p.at}
		p.end(Answered)
		f.rest = 0
	}
	clear(f.sent[len(waiting):])
	f.sent = waiting
}

// fail ends the wait of a party, which may be nil. It reports whether the party has waited until
// now.
func (f *freshness) fail(p *party, why Fallback) (waited bool) {
	i := slices.Index(f.sent, p)
	switch {
	case p == nil:
		return false
	case p == f.coming:
		f.coming = nil
	case i < 0:
		return false
	default:
		f.sent = slices.Delete(f.sent, i, i+1)
	}
	p.end(why)
	return true
}

// failSent ends the waits of all parties whose question was sent.
func (f *freshness) failSent(why Fallback) {
	for _, p := range f.sent {
		p.end(why)
	}
	f.sent = nil
}

// failAll ends all waits.
func (f *freshness) failAll(why Fallback) {
	f.failSent(why)
	f.fail(f.coming, why)
}

// giveUp ends the wait of a party that has waited in vain, which may be nil, and begins a rest.
func (f *freshness) giveUp(p *party, why Fallback, now time.Time) {
	if !f.fail(p, why) {
		return
	}
	f.rest = max(f.rest, minRest)
	f.restUntil = now.Add(f.rest)
	f.rest = min(2*f.rest, maxRest)
}

// end ends the wait of the party's callers.
func (p *party) end(why Fallback) {
	if p.patience != nil {
		p.patience.Stop()
	}
	p.why = why
	close(p.over)
}
