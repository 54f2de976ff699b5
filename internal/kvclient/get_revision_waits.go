package kvclient

import (
	"context"
	"sync"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient/link"
)

// revisionWaits has the reads that wait for a revision of their bucket, by bucket and connection.
// Those of one bucket share the questions to its stream. When each asked for itself, 2,000 of them
// took 1.2 cores for as long as they waited (measured). Its zero value is ready.
type revisionWaits struct {
	// mu guards waits, and their counts.
	mu sync.Mutex
	// waits has one for each bucket and connection for which somebody waits.
	waits map[waitedFor]*revisionWait
}

// A waitedFor is what the reads have in common that share questions.
type waitedFor struct {
	bucket kv.BucketName
	link   *link.Link
}

// A revisionWait shares the questions of reads that wait for revisions of one bucket.
//
// The first question of a read is its own: it must be sent after the request came, since a read
// that does not wait says what the bucket had come to by then. The others may be answered by what
// another read has asked.
type revisionWait struct {
	// key is what is waited for.
	key waitedFor
	// reads is how many reads wait. The mutex of revisionWaits guards it.
	reads int

	// mu guards the fields below.
	mu sync.Mutex
	// asking is the question under way; nil for none.
	asking *revisionAnswer
	// last is the answer that came last; nil for none.
	last *revisionAnswer
}

// A revisionAnswer is a question to a stream, and its answer.
type revisionAnswer struct {
	// done is closed when the fields below are set.
	done chan struct{}
	// at is when the answer came.
	at time.Time
	// bucket is the bucket as it was then, and err why there is none.
	bucket *Bucket
	err    error
}

// freshAnswer is how old an answer may be that a read takes which looks again, so that reads whose
// looks come at any time ask a hundred times a second at most together.
const freshAnswer = 10 * time.Millisecond

// join returns what a read of a bucket has to ask. The read must leave it.
func (r *revisionWaits) join(b *Bucket) *revisionWait {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := waitedFor{b.name, b.link}
	w := r.waits[key]
	if w == nil {
		if r.waits == nil {
			r.waits = make(map[waitedFor]*revisionWait)
		}
		w = &revisionWait{key: key}
		r.waits[key] = w
	}
	w.reads++
	return w
}

// leave notes that a read waits no more.
func (r *revisionWaits) leave(w *revisionWait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.reads--; w.reads == 0 {
		delete(r.waits, w.key)
	}
}

// first asks the stream for a read that has just come. It returns the errors of [Bucket.rebind].
func (w *revisionWait) first(ctx context.Context, b *Bucket) (*Bucket, error) {
	answer := &revisionAnswer{done: make(chan struct{})}
	w.answer(ctx, b, answer)
	return answer.bucket, answer.err
}

// again returns the bucket as it is, or was within freshAnswer. It returns the errors of
// [Bucket.rebind].
func (w *revisionWait) again(ctx context.Context, b *Bucket) (*Bucket, error) {
	for {
		asked, fresh, own := w.question()
		switch {
		case fresh:
			return asked.bucket, nil
		case own:
			w.answer(ctx, b, asked)
			return asked.bucket, asked.err
		}
		select {
		case <-asked.done:
			if asked.err == nil {
				return asked.bucket, nil
			}
			// The one who asked may have given up, or been refused for what it holds itself.
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// question returns the last answer if it is fresh, or the question that is under way, or else a new
// one, which is the caller's own to ask.
func (w *revisionWait) question() (q *revisionAnswer, fresh, own bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.last != nil && time.Since(w.last.at) < freshAnswer:
		return w.last, true, false
	case w.asking != nil:
		return w.asking, false, false
	}
	w.asking = &revisionAnswer{done: make(chan struct{})}
	return w.asking, false, true
}

// answer asks the stream.
func (w *revisionWait) answer(ctx context.Context, b *Bucket, a *revisionAnswer) {
	a.bucket, a.err = b.rebind(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	a.at = time.Now()
	if a.err == nil {
		w.last = a
	}
	if w.asking == a {
		w.asking = nil
	}
	close(a.done)
}
