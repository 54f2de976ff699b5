package stream

import (
	"sync/atomic"
	"time"
)

// A dismissal ends a stream with a goaway, although neither its source nor its writer would. It may
// come from any goroutine, and counts once.
type dismissal struct {
	// reason is that of the goaway.
	reason string
	// by is until when the client may take what was sent before, and the goaway. Then it is cut.
	by time.Time
}

// A dismissable has the dismissal of a stream. Its zero value has none.
type dismissable struct{ current atomic.Pointer[dismissal] }

// dismiss dismisses the stream. If it was dismissed before, only an earlier time counts.
func (d *dismissable) dismiss(reason string, by time.Time) {
	for {
		before := d.current.Load()
		if before != nil && !by.Before(before.by) {
			return
		}
		now := &dismissal{reason, by}
		if before != nil {
			now.reason = before.reason // The goaway may be on its way.
		}
		if d.current.CompareAndSwap(before, now) {
			return
		}
	}
}

// dismissal returns the dismissal of the stream; nil if it has none.
func (d *dismissable) dismissal() *dismissal { return d.current.Load() }

// isOverdue reports whether the client has not taken in time what it was sent. It is called with
// the time of a stream that still has something to send.
func (d *dismissal) isOverdue(now time.Time) bool { return d != nil && !now.Before(d.by) }
