package stream

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A deadlineWriter is an answer whose write deadline is looked at.
type deadlineWriter struct {
	http.ResponseWriter
	deadline time.Time
}

func (w *deadlineWriter) SetWriteDeadline(at time.Time) error {
	w.deadline = at
	return nil
}

func TestWriteGuardEndsOnlyAWriteUnderWay(t *testing.T) {
	for name, tc := range map[string]struct {
		end     func(*WriteGuard)
		idle    bool // no write is under way
		ended   bool // the write is ended
		refused bool // no other may begin
		closed  bool // a shared connection is closed if the write goes on
	}{
		"cut":              {(*WriteGuard).Cut, false, true, true, true},
		"cut, idle":        {(*WriteGuard).Cut, true, false, false, false},
		"refused":          {(*WriteGuard).Refuse, false, false, true, false},
		"refused, idle":    {(*WriteGuard).Refuse, true, false, true, false},
		"hurried":          {(*WriteGuard).Hurry, false, true, false, false},
		"hurried, idle":    {(*WriteGuard).Hurry, true, false, false, false},
		"refused, and cut": {func(g *WriteGuard) { g.Refuse(); g.Cut() }, false, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, closed := new(deadlineWriter), false
				g := NewWriteGuard(http.NewResponseController(w), func() { closed = true })
				if !g.Begin(time.Now().Add(time.Minute)) {
					t.Fatal("the first write was refused")
				}
				if tc.idle {
					g.End()
				}
				tc.end(g)
				if ended := w.deadline.Before(time.Now()); ended != tc.ended {
					t.Errorf("the write was ended: %v", ended)
				}
				time.Sleep(2 * cutAfter)
				synctest.Wait()
				if closed != tc.closed {
					t.Errorf("the connection was closed: %v", closed)
				}
				g.End()
				if refused := !g.Begin(time.Time{}); refused != tc.refused {
					t.Errorf("the next write was refused: %v", refused)
				}
			})
		})
	}
}

func TestWriteThatEndsInTimeKeepsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := false
		g := NewWriteGuard(http.NewResponseController(new(deadlineWriter)),
			func() { closed = true })
		g.Begin(time.Time{})
		g.Cut()
		g.End()
		time.Sleep(2 * cutAfter)
		synctest.Wait()
		if closed {
			t.Error("the connection was closed, though the write had ended")
		}
	})
}
