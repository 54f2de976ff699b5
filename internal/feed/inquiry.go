package feed

import (
	"context"
	"time"

	"kvgateway/internal/kvclient"
)

const (
	// askEvery is the least time between two questions of an inquiry. Each is a request to the
	// stream's leader, and the server writes an audit record of it, which reaches every gateway.
	askEvery = 10 * time.Millisecond
	// wantFor is how long questions go on after a subscription has asked whether its state is
	// exact.
	wantFor = time.Second
)

// An inquiry asks for the stream's last number while changes come, so that a feed which skips what
// was overwritten can find out where its state is exact; see [exactness]. It also asks for a
// subscription that found the bucket missing: changes put the verification off, which would answer
// that otherwise (TestAbsenceIsJudgedBesideAWriter). It asks only while a subscription wants to
// know and a question would help, one question at a time, at most one each askEvery. Changes are
// delivered meanwhile. An answer does not count for exactness if something was skipped since its
// question was sent.
//
// An inquiry is idle (pending is false), waits until it may ask again (nextSend runs), or waits
// for an answer (pending is true). It belongs to the source's goroutine; each question waits for
// its answer on a goroutine of its own.
type inquiry struct {
	// source is the one for which it asks.
	source *source
	// ask sends a question and waits for its answer.
	ask func(context.Context) (kvclient.StreamState, error)
	// answers has room for the answer to the only question that can be under way.
	answers chan answer
	// pending: a question was sent, and its answer has not been handled.
	pending bool
	// sent is when the last question was sent.
	sent time.Time
	// nextSend fires when the next question may be sent.
	nextSend *time.Timer
}

// An answer is what the stream said to a question.
type answer struct {
	question
	// state is what the stream is; meaningless with an error.
	state kvclient.StreamState
	// err says why there is no answer.
	err error
}

// newInquiry returns an idle inquiry, which asks by calling ask on a goroutine of its own.
func newInquiry(src *source, ask func(context.Context) (kvclient.StreamState, error)) *inquiry {
	nextSend := time.NewTimer(0)
	nextSend.Stop()
	return &inquiry{source: src, ask: ask, answers: make(chan answer, 1), nextSend: nextSend}
}

// send sends a question if one would help, or sets nextSend if it is too early for that.
func (i *inquiry) send(ctx context.Context) {
	if i.pending || !i.source.wantsAnswer() {
		return
	}
	if wait := askEvery - time.Since(i.sent); wait > 0 {
		i.nextSend.Reset(wait)
		return
	}
	i.pending, i.sent = true, time.Now()
	q := i.source.newQuestion()
	i.source.feed.hub.work.Go(func() {
		state, err := i.ask(ctx)
		i.answers <- answer{q, state, err}
	})
}

// answered handles an answer. Nothing follows from one that did not come; the next verification
// asks too. An error ends the source: the stream is not what it was, or there is none.
func (i *inquiry) answered(a answer) error {
	i.pending = false
	switch {
	case isMissing(a.err):
		return a.err
	case a.err != nil:
		return nil
	}
	_, err := i.source.compareAnswer(a.question, a.state)
	return err
}

// wantsAnswer reports whether a subscription waits for something that a question could tell: an
// exact position, or whether the bucket is missing (Subscription.absence).
func (src *source) wantsAnswer() bool {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.absences.areOpen() {
		return true
	}
	return f.journal.exact.unasked() && !f.waiters.exactWantedAt.IsZero() &&
		f.now().Sub(f.waiters.exactWantedAt) < wantFor
}

// askState asks for the stream's state.
func (src *source) askState(ctx context.Context) (kvclient.StreamState, error) {
	_, s, err := src.feed.ask(ctx)
	return s, err
}
