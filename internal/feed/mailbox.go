package feed

import (
	"slices"
	"sync"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// A mailbox holds what the server told of a bucket until the source's goroutine hears it. What says
// nothing that is not waiting already is not kept twice, so that only purges of single keys can be
// many: those that find no room are judged at once by whoever brings them. Of other kinds one is kept
// of those that say the same, so that there can be few.
type mailbox struct {
	// arrived has a token while something waits.
	arrived chan struct{}
	// limit is how many purges of single keys may wait.
	limit *bound.Bound

	mu      sync.Mutex
	waiting []kvclient.Advisory // the oldest first
}

func newMailbox(limit *bound.Bound) *mailbox {
	return &mailbox{arrived: make(chan struct{}, 1), limit: limit}
}

// waits reports whether there is something to hear.
func (m *mailbox) hasWaiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting) > 0
}

// full reports whether as many advisories wait as may. m.mu must be held.
func (m *mailbox) isFull() bool { return int64(len(m.waiting)) >= m.limit.Limit() }

// put keeps an advisory. It returns false for the purge of a key if too many wait.
func (m *mailbox) put(a kvclient.Advisory) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.signal()
	if a.Key != "" {
		if m.isFull() {
			m.limit.Refuse()
			return false
		}
		m.waiting = append(m.waiting, a)
		return true
	}
	if a.Terms != nil && m.isFull() {
		a.Terms = &otherTerms
	}
	same := slices.IndexFunc(m.waiting, func(b kvclient.Advisory) bool {
		return b.Kind == a.Kind && b.Key == "" && sameTerms(a.Terms, b.Terms)
	})
	if same < 0 {
		m.waiting = append(m.waiting, a)
	} else if a.At.After(m.waiting[same].At) {
		m.waiting[same].At = a.At
	}
	return true
}

// otherTerms stand for several that were told, of which some may be others than a feed's.
var otherTerms = kvclient.Terms{MaxAge: -1}

func sameTerms(a, b *kvclient.Terms) bool { return a == b || a != nil && b != nil && *a == *b }

// take returns what has waited longest. After a token nothing may wait any more.
func (m *mailbox) take() (a kvclient.Advisory, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) == 0 {
		return kvclient.Advisory{}, false
	}
	a = m.waiting[0]
	m.waiting = m.waiting[1:]
	m.signal()
	return a, true
}

// signal puts a token where something waits. m.mu must be held.
func (m *mailbox) signal() {
	if len(m.waiting) == 0 {
		return
	}
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// advise hands the server's word over to the source's goroutine. It may be called by any.
func (f *Feed) postAdvisory(a kvclient.Advisory) {
	if !f.mail.put(a) && !f.acceptPurge(a) {
		f.mail.put(kvclient.Advisory{Kind: kvclient.StreamPurged, At: a.At})
	}
}

// forgive reports whether a purge changes nothing that a subscription holds, and counts it then.
func (f *Feed) acceptPurge(a kvclient.Advisory) bool {
	if a.Key == "" || !f.harmless(a.Key, a.At) {
		return false
	}
	f.mu.Lock()
	f.harmlessPurges.messages += a.Purged
	f.harmlessPurges.keys++
	f.mu.Unlock()
	f.requestVerify() // until it is counted, a loss would be taken for this
	return true
}
