package feed

import (
	"slices"
	"sync"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// A mailbox holds the advisories of a bucket until the source's goroutine handles them.
//
// No advisory is lost silently. An advisory that says the same as one that waits already is not
// kept twice, so only purges of single keys can be many. Those beyond the limit, 256, are judged at
// once by whoever brings them, so that a sweep of markers is no reset, however large it is. Of
// equal advisories of any other kind only one is kept, so there are few. What nats.go drops because
// its subscription is full (the bound advisory-bytes) ends the AdvisoryPeriod: then all feeds doubt
// what they were told since they last looked, and compare their streams
// (TestPurgeWhoseAdvisoryWasDroppedIsAReset).
//
// Any goroutine may put, and one pops. The channel arrived has a token while something waits; a
// token may outlive what it stands for, so that pop can find nothing.
type mailbox struct {
	// arrived has a token while something waits; its capacity is 1.
	arrived chan struct{}
	// limit is how many purges of single keys may wait.
	limit *bound.Bound

	// mu guards waiting. Nothing else is locked while it is held.
	mu sync.Mutex
	// waiting has the advisories, the oldest first.
	waiting []kvclient.Advisory
}

func newMailbox(limit *bound.Bound) *mailbox {
	return &mailbox{arrived: make(chan struct{}, 1), limit: limit}
}

// hasWaiting reports whether an advisory waits.
func (m *mailbox) hasWaiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.waiting) > 0
}

// isFullLocked reports whether as many advisories wait as may.
func (m *mailbox) isFullLocked() bool { return int64(len(m.waiting)) >= m.limit.Limit() }

// put keeps an advisory. It returns false for the purge of a key if too many wait.
func (m *mailbox) put(a kvclient.Advisory) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.signalLocked()
	if a.Key != "" {
		if m.isFullLocked() {
			m.limit.Refuse()
			return false
		}
		m.waiting = append(m.waiting, a)
		return true
	}
	if a.Terms != nil && m.isFullLocked() {
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

// otherTerms stands for several terms that were reported while the mailbox was full. It is equal
// to no feed's terms, since some of them may be others.
var otherTerms = kv.Terms{MaxAge: -1}

// sameTerms reports whether two advisories say the same about the terms; nil says nothing.
func sameTerms(a, b *kv.Terms) bool { return a == b || a != nil && b != nil && *a == *b }

// pop removes and returns the advisory that has waited longest; ok is false if none waits.
func (m *mailbox) pop() (a kvclient.Advisory, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) == 0 {
		return kvclient.Advisory{}, false
	}
	a = m.waiting[0]
	m.waiting = m.waiting[1:]
	m.signalLocked()
	return a, true
}

// signalLocked puts a token into arrived if something waits.
func (m *mailbox) signalLocked() {
	if len(m.waiting) == 0 {
		return
	}
	select {
	case m.arrived <- struct{}{}:
	default:
	}
}

// postAdvisory hands an advisory over to the source's goroutine. Any goroutine may call it. If
// there is no room for the purge of a key, the purge is judged here; one that is not harmless
// becomes a purge of everything, of which only one is kept.
func (src *source) postAdvisory(a kvclient.Advisory) {
	if !src.mail.put(a) && !src.acceptPurge(a) {
		src.mail.put(kvclient.Advisory{Kind: kvclient.StreamPurged, At: a.At})
	}
}

// acceptPurge lets the journal accept a purge, if it is one of a key and changes nothing that a
// subscription holds. Any goroutine may call it.
func (src *source) acceptPurge(a kvclient.Advisory) bool {
	f := src.feed
	if a.Key == "" {
		return false
	}
	f.mu.Lock()
	accepted := f.journal.acceptPurge(a)
	if c := f.memory.copy; accepted && c != nil {
		c.DoubtMarker(a.Key, f.journal.markers[a.Key]) // some purges spare the last message
	}
	f.mu.Unlock()
	if accepted {
		// Until a tally is made without it, a loss would be taken for this purge.
		src.requestVerify()
	}
	return accepted
}

// queuePurge keeps a purge of one key for healPurged, if the key can be healed by itself. It
// belongs to the source's goroutine.
func (src *source) queuePurge(a kvclient.Advisory) bool {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	full := len(src.purged) == maxPurged
	if a.Key == "" || full || src.audit.doubt != "" || src.truth == nil || !f.canHealLocked() {
		return false
	}
	f.doubtLocked()
	src.purged = append(src.purged, a)
	return true
}

// handleAdvisory does what follows from an advisory. An error ends the source, which has to start
// anew. It belongs to the source's goroutine, so that nobody changes the journal's terms meanwhile.
func (src *source) handleAdvisory(a kvclient.Advisory) error {
	if a.Kind == kvclient.StreamPurged && (src.acceptPurge(a) || src.queuePurge(a)) {
		return nil
	}
	return src.carryOut(src.audit.judgeAdvisory(a, src.feed.journal.terms))
}
