package link

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// maxWindow is for how long requests share a context.
const maxWindow = 50 * time.Millisecond

// windows bound requests in time, and end them at once when the connection is lost. nats.go does
// not do that: it leaves them to their timeout. Requests that begin within the same short window
// share one context, since a context for each costs nine allocations. So a request may take up to a
// window longer than its timeout.
type windows struct {
	// timeout bounds each request.
	timeout time.Duration

	// current is the window in which requests begin now.
	current atomic.Pointer[window]

	// mu guards life and end, and the making of windows.
	mu sync.Mutex
	// life ends when the connection is lost.
	life context.Context
	// end ends life.
	end context.CancelFunc
}

// A window is the context of the requests that begin within it.
type window struct {
	context.Context
	// cancel is not called: the deadline frees what the context holds.
	cancel context.CancelFunc
	// opened is when the first request of the window began.
	opened time.Time
}

// newWindows returns windows for a connection.
func newWindows(timeout time.Duration) *windows {
	w := &windows{timeout: timeout}
	w.life, w.end = context.WithCancel(context.Background())
	return w
}

// context returns the context for a request that begins now.
func (w *windows) context() context.Context {
	if current := w.current.Load(); current != nil && time.Since(current.opened) < w.length() {
		return current
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if current := w.current.Load(); current != nil && time.Since(current.opened) < w.length() {
		return current
	}
	next := &window{opened: time.Now()}
	// #nosec G118 -- its time ends it, and lost calls what is kept here
	next.Context, next.cancel = context.WithTimeout(w.life, w.timeout+w.length())
	w.current.Store(next)
	return next
}

// gone returns a channel that is closed when the connection is lost that is there now.
func (w *windows) gone() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life.Done()
}

// length returns how long a window is.
func (w *windows) length() time.Duration { return min(maxWindow, w.timeout/10) }

// lost ends all requests that are under way: the connection that would have brought their answers
// is gone.
func (w *windows) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
	w.life, w.end = context.WithCancel(context.Background())
	w.current.Store(nil)
}
