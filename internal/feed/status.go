package feed

// A sourceState is what a feed knows of its source. The table in the package documentation has the
// transitions.
type sourceState uint8

const (
	// starting: the source has never reached the stream.
	starting sourceState = iota
	// live: the source delivers what is stored.
	live
	// stale: the source is lost, and what is known may be old.
	stale
	// missing: there is no such bucket.
	missing
)

// A sourceStatus is what a feed knows of its source, and why it has none.
//
// It is settled while that is certain. It is not settled at first, after a live source was lost
// (the reason is known only when the source has been asked for again, unless NATS has denied it),
// and after a feed that rested was roused. New subscribers wait until it is settled.
//
// Feed.mu guards it.
type sourceStatus struct {
	// state is what is known.
	state sourceState
	// why says why the source is missing, or was never reached; nil while it is live.
	why error
	// settled is closed while the status is settled.
	settled chan struct{}
}

func newSourceStatus() sourceStatus { return sourceStatus{settled: make(chan struct{})} }

// set notes what is known of the source now, and why it is not live. A source that has never
// been reached does not become stale, but stays starting. It reports whether s is another state
// than before.
func (st *sourceStatus) set(s sourceState, why error) (changed bool) {
	before := st.state
	st.why = why
	if before != starting || s != stale {
		st.state = s
	}
	switch {
	case !st.isSettled():
		close(st.settled)
	case before == live && s == stale && !isDenied(why): // a denial is certain
		st.unsettle()
	}
	return before != s
}

// unsettle makes new subscribers wait until the source has been asked for once more.
func (st *sourceStatus) unsettle() {
	if st.isSettled() {
		st.settled = make(chan struct{})
	}
}

// isSettled reports whether it is certain whether there is a source.
func (st *sourceStatus) isSettled() bool {
	select {
	case <-st.settled:
		return true
	default:
		return false
	}
}
