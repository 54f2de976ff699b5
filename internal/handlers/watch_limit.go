package handlers

import "sync/atomic"

// defaultMaxStreams bounds the memory that idle streams and their connections take.
const defaultMaxStreams = 20_000

// openStreams counts the streams that are open, and refuses those that are too many.
type openStreams struct {
	limit   int64
	open    atomic.Int64
	refused atomic.Int64
}

func (o *openStreams) enter() error {
	if o.open.Add(1) > o.limit {
		o.open.Add(-1)
		o.refused.Add(1)
		return errTooManyStreams
	}
	return nil
}

func (o *openStreams) leave() { o.open.Add(-1) }
