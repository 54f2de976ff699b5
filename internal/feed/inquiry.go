package feed

import (
	"context"
	"errors"
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
// Its questions are also those that the callers of [Hub.AwaitFresh] share. While some wait there is
// a question each askForCallersEvery, however busy the source is: each turn of its loop sends one
// if it is time (TestQuestionOfCallersGoesOutBesideAFlood).
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
	if i.pending {
		return
	}
	every, wanted := i.source.wantsAnswer()
	if !wanted {
		return
	}
	if wait := every - time.Since(i.sent); wait > 0 {
		i.nextSend.Reset(wait)
		return
	}
	i.pending, i.sent = true, time.Now()
	q := i.source.newQuestion()
	q.callers = i.source.callersOfQuestion()
	i.source.feed.hub.stats.Questions.Add(1)
	i.source.feed.hub.work.Go(func() {
		state, err := i.ask(ctx)
		i.answers <- answer{q, state, err}
	})
}

// answered handles an answer. Nothing follows from one that did not come; the next verification
// asks too. An error ends the source: the stream is not what it was, or there is none.
func (i *inquiry) answered(a answer) error {
	i.pending = false
	if a.err != nil {
		i.source.failCallers(a.callers)
	}
	switch {
	case isMissing(a.err), errors.Is(a.err, errRestart):
		return a.err
	case a.err != nil:
		return nil
	}
	_, err := i.source.compareAnswer(a.question, a.state)
	return err
}

// wantsAnswer reports whether somebody waits for something that a question could tell: callers for
// a position that is fresh, or a subscription for an exact position, or for whether the bucket is
// missing (Subscription.absence). every is the least time between two such questions.
func (src *source) wantsAnswer() (every time.Duration, wanted bool) {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	unasked := f.journal.exact.unasked()
	if f.freshness.wantsQuestion(unasked) {
		return askForCallersEvery, true
	}
	if f.absences.areOpen() {
		return askEvery, true
	}
	return askEvery, unasked && !f.waiters.exactWantedAt.IsZero() &&
		f.now().Sub(f.waiters.exactWantedAt) < wantFor
}

// callersOfQuestion returns those that share the question that is about to be sent.
func (src *source) callersOfQuestion() *party {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.freshness.ask()
	if p != nil {
		f.crowd.shared(p.callers, f.now())
	}
	return p
}

// failCallers ends the wait of those that share a question to which no answer came.
func (src *source) failCallers(p *party) {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.freshness.fail(p, Unheard)
}

// askerOf returns what asks for the stream's state while advisories come over a connection. If they
// come over another one by then, or if some were dropped, errRestart says that removals may have
// been missed, so that no answer shows that the feed has what the stream has.
func (src *source) askerOf(
	hearing kvclient.AdvisoryPeriod,
) func(context.Context) (kvclient.StreamState, error) {
	client := src.feed.hub.client
	asker := client.AskState(src.feed.name)
	return func(ctx context.Context) (kvclient.StreamState, error) {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		s, err := asker.Ask(ctx)
		if err == nil && client.AdvisoryPeriod() != hearing {
			err = errRestart
		}
		return s, err
	}
}
