package stream

import "time"

const (
	// goAwayTime is how long the client may take for the goaway of a stream that ends because it is
	// slow.
	goAwayTime = 100 * time.Millisecond
	// freeBytes is the size up to which a write is not counted: the buffers of net/http hold as
	// much for each connection.
	freeBytes = 4 << 10
)

// counted writes data, which other streams have too if it is shared, and counts it until the client
// has taken it.
func (s *Writer) counted(data []byte, shared bool) (n int, err error) {
	if !s.writes.Begin(time.Time{}) {
		return 0, s.cutError()
	}
	if len(data) > freeBytes {
		defer s.held.drop()
	}
	defer s.writes.End()
	if len(data) > freeBytes && !s.held.keep(data, shared) {
		s.limits.slow.Add(1)
		return 0, errNoRoom
	}
	if n, err = s.writeAll(data); err != nil && s.writes.Refused() {
		err = s.cutError()
	}
	return n, err
}

// cutError counts the stream as one that held too much, unless it was dismissed or all streams are
// ending, and returns the error for that.
func (s *Writer) cutError() error {
	if s.dismissal() != nil {
		return errDismissed
	}
	if s.limits.ending.Err() == nil {
		s.limits.slow.Add(1)
	}
	return errHeldTooMuch
}

// cutForGood ends the write that is under way, if there is one, and lets no other begin.
func (s *Writer) cutForGood() {
	s.writes.Cut()
	s.writes.Refuse()
}

// sendGoAway sends the last block of a stream that was dismissed.
func (s *Writer) sendGoAway(source Source, d *dismissal) {
	// A client that does not take it is cut.
	_ = s.send(func(b []byte) []byte { return source.GoAway(b, d.reason) })
}

// cutLater cuts a write that is still under way at a time.
func (s *Writer) cutLater(by time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch wait := time.Until(by); {
	case s.over:
	case s.cutTimer == nil:
		s.cutTimer = time.AfterFunc(wait, s.cutForGood)
	default:
		s.cutTimer.Reset(wait)
	}
}

// stopCutting notes that nothing is written any more.
func (s *Writer) stopCutting() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.cutTimer != nil {
		s.cutTimer.Stop()
	}
}

// tryGoAway tells the client of a stream that stands between two blocks why it ends, if the client
// takes that now.
func (s *Writer) tryGoAway(source Source) {
	s.writeDeadline = time.Now().Add(goAwayTime)
	if s.controller.SetWriteDeadline(s.writeDeadline) == nil {
		_, _ = s.w.Write(source.GoAway(nil, reasonSlow))
	}
}
