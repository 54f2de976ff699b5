package stream

import "sync"

// buffers keeps the buffers in which streams with a goroutine collect what they send. A stream that
// is idle, or that sends a frame which others send too, holds none. The buffers begin small, since
// all these streams hold one at the same time while they wait for the lock of the feed.
var buffers = sync.Pool{New: func() any { return new(make([]byte, 0, 1<<10)) }}

// keepBuffer is the size in bytes up to which a buffer is kept for other streams.
const keepBuffer = 4 * FlushAt

// withBuffer calls use with an empty buffer, and keeps what use returns for other streams.
func withBuffer(use func(buffer []byte) []byte) {
	b := buffers.Get().(*[]byte)
	*b = use((*b)[:0])
	putBuffer(b)
}

// putBuffer gives a buffer back, unless it has become too large.
func putBuffer(b *[]byte) {
	if cap(*b) <= keepBuffer {
		buffers.Put(b)
	}
}

// within reports whether data lies at the beginning of buffer.
func within(data, buffer []byte) bool {
	return cap(data) > 0 && cap(buffer) > 0 && &data[:1][0] == &buffer[:1][0]
}
