package handlers

import (
	"net/http"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// memory returns what the gateway has in memory of the bucket, if the entry may be read from it as
// new as the leader has it.
func (w *wantedEntry) memory(x *exchange) (m feed.Memory, ok bool) {
	if w.revision > 0 || w.options.Consistency != kvclient.Leader {
		return m, false
	}
	return x.store.feeds.Memory(w.bucket.Name())
}

// fetchFromMemory reads the entry from memory, as new as the leader has it, if the bucket is in
// memory and enough other reads of it are under way. Otherwise it calls ask, which asks NATS.
func (w *wantedEntry) fetchFromMemory(
	x *exchange, ask func() (kv.Entry, error),
) (kv.Entry, error) {
	m, ok := w.memory(x)
	if !ok {
		return ask()
	}
	defer m.Leave()
	if !m.Enter() {
		return ask()
	}
	found, _, why, err := m.GetFresh(x.context(), w.key)
	switch {
	case err != nil:
		return kv.Entry{}, err
	case why != feed.Answered || !w.isSatisfied(m):
		return ask()
	}
	return entryFound(x.Header(), found.Entry)
}

// fetchReported reads the entry from memory, if that has come to the revision that a feed has
// reported, and the feed is the one to which the copy in memory belongs. Otherwise it calls ask,
// which asks NATS. So it does also while the feed is behind a revision that the caller has seen:
// what the feed reports then is older.
func (w *wantedEntry) fetchReported(
	x *exchange, seen kv.Revision, ask func() (kv.Entry, error),
) (kv.Entry, error) {
	m, ok := w.memory(x)
	if !ok || !w.isSatisfied(m) {
		return ask()
	}
	found, at, ok := m.Get(w.key)
	if !ok || found.Unsure || at.Revision < seen {
		return ask()
	}
	return entryFound(x.Header(), found.Entry)
}

// isSatisfied reports whether what is in memory is certainly not older than the minimal position
// that the answer must have.
func (w *wantedEntry) isSatisfied(m feed.Memory) bool {
	least := w.options.MinRevision
	return least == kv.Position{} || m.Includes(least)
}

// entryFound returns what was found in memory, in the words of [kvclient.Bucket.Get], and sets
// KV-Consistency in the header of the answer.
func entryFound(h http.Header, found *kv.Entry) (kv.Entry, error) {
	h["Kv-Consistency"] = headerConsistency[kvclient.Leader]
	switch {
	case found == nil:
		return kv.Entry{}, kv.ErrKeyNotFound
	case found.IsMarker():
		return kv.Entry{}, &kv.KeyDeletedError{Marker: *found}
	}
	return *found, nil
}
