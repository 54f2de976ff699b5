package stream

import (
	"net/http"
	"sync"
	"time"
)

// cutAfter is how long a write that was cut may still be under way until its connection is closed.
// An HTTP/2 stream cannot be reset while its connection takes nothing.
const cutAfter = 250 * time.Millisecond

// A WriteGuard lets any goroutine end a write of an answer that net/http has under way, because its
// client takes too little of it and others wait for the room. Whoever writes calls Begin before
// each write and End after it. Between two writes the connection must not be touched: the request
// may be over, and the connection may serve another one.
//
//	state    Begin    End      Refuse   Cut                      cutAfter later
//	idle     writing  -        refused  -                        -
//	writing  -        idle     refused  refused, and the write   -
//	                                    is ended
//	refused  false    refused  -        the write is ended, if   the connection is closed, if it
//	                                    one is under way         is shared and the write goes on
type WriteGuard struct {
	// controller sets the write deadline.
	controller *http.ResponseController
	// closeShared closes the connection if it carries other answers too; nil if it does not.
	closeShared func()

	// mu guards the fields below. It is also held while Begin sets the deadline, so that none is
	// set over that of Cut.
	mu sync.Mutex
	// writing says that a write is under way.
	writing bool
	// refused says that nothing more is to be written.
	refused bool
}

// NewWriteGuard returns the guard of an answer's writes. If the answer shares its connection with
// others, closeShared closes that; otherwise it is nil.
func NewWriteGuard(controller *http.ResponseController, closeShared func()) *WriteGuard {
	return &WriteGuard{controller: controller, closeShared: closeShared}
}

// Begin notes that a write begins, which may take until the deadline; the zero time leaves the
// deadline as it is. It returns false if nothing more is to be written.
func (g *WriteGuard) Begin(deadline time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused {
		return false
	}
	if !deadline.IsZero() {
		// If the deadline cannot be set, the bound of the server itself holds.
		_ = g.controller.SetWriteDeadline(deadline)
	}
	g.writing = true
	return true
}

// End notes that the write has ended.
func (g *WriteGuard) End() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.writing = false
}

// Refuse lets no further write begin.
func (g *WriteGuard) Refuse() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = true
}

// Refused reports whether nothing more is to be written.
func (g *WriteGuard) Refused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// Cut ends the write that is under way and lets no other begin. Without a write it does nothing.
func (g *WriteGuard) Cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.writing {
		return
	}
	g.refused = true
	g.endLocked()
	if g.closeShared != nil {
		time.AfterFunc(cutAfter, g.closeIfStuck)
	}
}

// Hurry ends the write that is under way. Another one may begin.
func (g *WriteGuard) Hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writing {
		g.endLocked()
	}
}

// endLocked ends the write that is under way.
func (g *WriteGuard) endLocked() {
	_ = g.controller.SetWriteDeadline(time.Now().Add(-time.Second))
}

// closeIfStuck closes the connection if the write that was cut is still under way.
func (g *WriteGuard) closeIfStuck() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writing {
		g.closeShared()
	}
}
