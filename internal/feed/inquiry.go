package feed

import (
	"context"
	"time"

	"kvgateway/internal/kvclient"
)

const (
	// askEvery is the least time between two questions of an inquiry. Each is a request to the
	// stream's leader, which the server tells every gateway of.
	askEvery = 10 * time.Millisecond
	// wantFor is how long questions go on after a subscription has asked whether its state is exact.
	wantFor = time.Second
)

// An inquiry asks for the stream's last number while changes come, so that a feed which skips what
// was overwritten can tell where its state is exact. It asks only while a subscription wants to
// know and a question would help, one question at a time, at most one each askEvery. Changes are
// taken meanwhile; an answer that was overtaken by another skip does not count.
//
// It belongs to the source's goroutine; each question waits for its answer on one of its own.
type inquiry struct {
	feed    *Feed
	ask     func(context.Context) (kvclient.StreamState, error)
	answers chan answer // has room for the only one that can be under way
	pending bool        // a question was sent and its answer has not been taken
	sent    time.Time   // when the last question was
	again   *time.Timer // fires when the next question may be sent
}

// An answer is what the stream said to a question, or why it did not.
type answer struct {
	question
	state kvclient.StreamState
	err   error
}

func newInquiry(f *Feed, ask func(context.Context) (kvclient.StreamState, error)) *inquiry {
	again := time.NewTimer(0)
	again.Stop()
	return &inquiry{feed: f, ask: ask, answers: make(chan answer, 1), again: again}
}

// send sends a question, now or when it may be sent, if one would help.
func (i *inquiry) send(ctx context.Context) {
	if i.pending || !i.feed.wantsAnswer() {
		return
	}
	if wait := askEvery - time.Since(i.sent); wait > 0 {
		i.again.Reset(wait)
		return
	}
	i.pending, i.sent = true, time.Now()
	q := i.feed.question()
	i.feed.hub.work.Go(func() {
		state, err := i.ask(ctx)
		i.answers <- answer{q, state, err}
	})
}

// answered takes an answer over. Of one that did not come nothing follows; the next check asks too.
func (i *inquiry) answered(a answer) error {
	i.pending = false
	switch {
	case isMissing(a.err):
		return a.err
	case a.err != nil:
		return nil
	}
	_, err := i.feed.compare(a.question, a.state)
	return err
}

// wantsAnswer reports whether a subscription waits for what a question could tell: an exact position,
// or whether the bucket is there.
func (f *Feed) wantsAnswer() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.absences > f.refuted {
		return true // a subscription waits to hear whether the bucket is missing
	}
	return f.exact.unasked() && !f.wanted.IsZero() && f.now().Sub(f.wanted) < wantFor
}

// askLast asks for the stream's state.
func (f *Feed) askLast(ctx context.Context) (kvclient.StreamState, error) {
	_, s, err := f.ask(ctx)
	return s, err
}
