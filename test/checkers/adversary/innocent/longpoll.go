package innocent

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"time"
)

// longPoll waits for a change of a key, and makes the change. It measures the time from the answer
// to the write until the answer to the poll.
var longPoll = withKey(func(t *turn, k *key) {
	ctx, cancel := context.WithTimeout(t.ctx, 2*t.client.patience())
	defer cancel()
	type end struct {
		answer *answer
		err    error
		at     time.Time
	}
	ended := make(chan end, 1)
	tag := k.tag
	poll := *t // Another goroutine needs its own random numbers.
	poll.random = rand.New(rand.NewPCG(t.random.Uint64(), 0))
	go func() {
		a, err := poll.send(ctx, http.MethodGet, k.path("keys"), nil, http.StatusOK,
			[]string{"If-None-Match", tag, "Prefer", "wait=10"})
		ended <- end{a, err, time.Now()}
	}()
	time.Sleep(30 * time.Millisecond) // By then the poll mostly waits, but need not.
	t.due = time.Now()
	written := t.store(k, value(t.random, 2), "If-Match", k.tag)
	at := time.Now()
	if !written {
		return
	}
	e := <-ended
	s := Sample{Op: "long-poll", At: at, Took: max(0, e.at.Sub(at))}
	switch {
	case e.err != nil:
		s.Err = e.err.Error()
	case !bytes.Equal(e.answer.body, k.value):
		s.Err = "the answer to a long poll is not what was written"
	}
	t.client.sample(s)
})
