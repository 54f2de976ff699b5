package feed

import (
	"context"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// This file lets subscriptions share the questions where the stream is. When a gateway has started
// again, ten thousand of them ask at once, and each question is a request to the leader of which
// every gateway gets a record.

// A sharedAnswer is the answer to a question that is sent once all of those have come who wait for
// it. The fields but for done are set before that is closed.
type sharedAnswer struct {
	// done is closed when there is an answer.
	done chan struct{}
	// bucket and state are the answer, if err is nil.
	bucket *kvclient.Bucket
	state  kvclient.StreamState
	err    error
}

// askTogether is ask for callers that come in crowds: those that come while a question is under
// way, or within askForCallersEvery of it, share the next one. It locks the feed.
func (f *Feed) askTogether(ctx context.Context) (*kvclient.Bucket, kvclient.StreamState, error) {
	f.mu.Lock()
	a := f.nextAnswer
	if a == nil {
		a = &sharedAnswer{done: make(chan struct{})}
		f.nextAnswer = a
	}
	begins := !f.askingTogether && f.hub.ctx.Err() == nil
	if begins {
		f.askingTogether = true
		f.hub.work.Go(f.answerTogether)
	}
	f.mu.Unlock()
	turn := bound.TurnOf(ctx)
	turn.Pause()
	defer turn.Resume()
	select {
	case <-a.done:
		return a.bucket, a.state, a.err
	case <-ctx.Done():
		return nil, kvclient.StreamState{}, ctx.Err()
	case <-f.hub.ctx.Done():
		return nil, kvclient.StreamState{}, f.hub.ctx.Err()
	}
}

// answerTogether asks for those who wait, until nobody does.
func (f *Feed) answerTogether() {
	for {
		f.mu.Lock()
		a := f.nextAnswer
		f.nextAnswer, f.askingTogether = nil, a != nil
		f.mu.Unlock()
		if a == nil {
			return
		}
		f.hub.stats.Questions.Add(1)
		a.bucket, a.state, a.err = f.ask(f.hub.ctx)
		close(a.done)
		time.Sleep(askForCallersEvery)
	}
}
