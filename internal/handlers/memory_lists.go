package handlers

import (
	"net/http"
	"strconv"
	"time"

	"kvgateway/internal/feed"
	"kvgateway/internal/handlers/problem"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file answers lists from memory: the names of keys, entries, exports and markers.
//
//	a page with a cursor     it is of the revision that the cursor names, at once, as long as the
//	                         copy has that state; otherwise as below, and the page says its own
//	                         revision with "snapshot":false
//	consistency=leader       once the copy is at an exact position, as new as the leader was when
//	                         the request came
//	consistency=cached       at once, on the terms of cached.go
//
// All pages and exports from memory are of one state, in which no transaction is torn. If it is
// from a moment at which the copy was not exact, it says "snapshot":false, and no cursor names it.
//
// If a bucket is not in memory, or cannot answer this list, the server answers, as it does without
// memory. If memory is not current only now, which may be since the server is in trouble, few
// requests ask the server (see listFallbacks).

// A stateRequest says of which state of a bucket a list is to be.
type stateRequest struct {
	// bucket is the bucket.
	bucket kv.BucketName
	// options say how fresh the state must be.
	options kvclient.ReadOptions
	// pin is the state that a cursor names; zero for none.
	pin pin
	// markers says that markers are listed.
	markers bool
}

// A bucketState is a state of a bucket in memory.
type bucketState struct {
	feed.View
	// snapshot says that it is exactly what the bucket had at the view's revision, and, if a cursor
	// names one, at that.
	snapshot bool
	// exact says that it is what the bucket had at the view's revision.
	exact bool
	// cached says that the state is as old as age at most; otherwise it is as new as the leader's.
	cached bool
	age    time.Duration
}

// setHeaders sets the headers that say where the answer is from.
func (s *bucketState) setHeaders(h http.Header) {
	if !s.cached {
		h["Kv-Consistency"] = headerConsistency[kvclient.Leader]
		return
	}
	h["Kv-Consistency"] = headerCached
	h["Age"] = []string{strconv.FormatInt(int64(s.age/time.Second), 10)}
}

// pin returns what a cursor has of the state.
func (s *bucketState) pin() pin {
	if !s.exact {
		return pin{}
	}
	return pin{s.Revision(), s.Position().Epoch, s.CopyID()}
}

// isLatest reports whether the view is not pinned at an earlier revision than it has.
func (s *bucketState) isLatest() bool { return s.Revision() == s.Position().Revision }

// stateTries is how often a list is read from memory again if its state was forgotten meanwhile.
const stateTries = 3

// fromMemory calls read with a state of the bucket in memory that answers the request, and returns
// that state. It may call read several times, of which the last one counts. If there is no such
// state, it returns nil, and whether the server is to be asked by few requests only, since memory
// lags behind it.
func (x *exchange) fromMemory(
	r stateRequest, read func(*bucketState) error,
) (state *bucketState, lags bool, err error) {
	for range stateTries {
		if state, lags, err = x.bucketState(r); state == nil || err != nil {
			return nil, lags, err
		}
		if err := read(state); err != nil {
			return nil, false, err
		}
		if state.Holds() {
			return state, false, nil
		}
	}
	return nil, true, nil
}

// bucketState returns a state in memory that answers the request, nil if there is none.
func (x *exchange) bucketState(r stateRequest) (state *bucketState, lags bool, err error) {
	m, ok := x.store.feeds.Memory(r.bucket)
	switch {
	case x.query.Get("consistency") == "cached":
		return x.cachedState(r, m, ok)
	case !ok || r.options.Consistency == kvclient.Any:
		return nil, false, nil
	}
	if state := r.pinned(m); state != nil {
		return state, false, nil
	}
	view, why, err := m.ViewFresh(x.context())
	if err != nil || why != feed.Answered {
		return nil, mayPass(why), err
	}
	if !r.isAnsweredBy(m, view) {
		return nil, false, nil
	}
	if state := r.pinned(m); state != nil { // of another gateway, ahead of this one until now
		return state, false, nil
	}
	return &bucketState{View: view, exact: true, snapshot: r.pin == pin{}}, false, nil
}

// cachedState is bucketState for consistency=cached. ok says that m is there.
func (x *exchange) cachedState(
	r stateRequest, m feed.Memory, ok bool,
) (state *bucketState, lags bool, err error) {
	terms, err := parseCacheTerms(x.request.Header["Cache-Control"])
	if err != nil {
		return nil, false, err
	}
	if ok {
		state, lags = r.cached(m, terms.maxAge)
	}
	if state == nil && terms.only {
		return nil, false, problem.New(problem.NotInMemory)
	}
	return state, lags, nil
}

// cached returns a state that is at most so old, nil if there is none.
func (r *stateRequest) cached(m feed.Memory, maxAge time.Duration) (_ *bucketState, lags bool) {
	age, known := m.Age() // before the copy is read, so that it is no younger
	if !known || age > maxAge {
		m.Refresh()
		return nil, true
	}
	if state := r.pinned(m); state != nil {
		state.cached, state.age = true, age
		return state, false
	}
	view, exact, ok := m.ViewNow()
	if !ok || !r.isAnsweredBy(m, view) {
		return nil, false
	}
	return &bucketState{
		View: view, exact: exact, snapshot: exact && r.pin == pin{}, cached: true, age: age,
	}, false
}

// pinned returns the state that the cursor names, nil if it cannot be shown.
func (r *stateRequest) pinned(m feed.Memory) *bucketState {
	if r.pin == (pin{}) {
		return nil
	}
	view, ok := m.ViewAt(r.pin.position(), r.pin.copyID)
	if !ok || !r.isAnsweredBy(m, view) {
		return nil
	}
	return &bucketState{View: view, exact: true, snapshot: true}
}

// isAnsweredBy reports whether a view knows all that the list is to show, and is not older than it
// may be.
func (r *stateRequest) isAnsweredBy(m feed.Memory, v feed.View) bool {
	least := r.options.MinRevision
	return !v.HasHidden() && !v.IsUnsure() && !(r.markers && v.IsUnsureOfMarkers()) &&
		(least == kv.Position{} || least.Revision <= v.Revision() && m.Includes(least))
}

// mayPass reports whether memory may be current again soon, so that the server must not be asked by
// everybody meanwhile. The other reasons stay, and the server answers as if there were no memory.
func mayPass(why feed.Fallback) bool {
	return why != feed.Unsuited && why != feed.Answered
}
