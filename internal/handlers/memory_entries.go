package handlers

import (
	"cmp"
	"slices"
	"strings"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// maxMemoryExports is how many exports are sent from memory at a time.
const maxMemoryExports = 32

// newMemoryExports makes the bound of exports from memory.
func newMemoryExports(set *bound.Set) *bound.Bound {
	return set.New(bound.Spec{
		Name: "memory-exports",
		Of: "exports that are sent from memory; each keeps the values in memory that are " +
			"overwritten before it has ended",
		Unit:     bound.Places,
		Limit:    maxMemoryExports,
		PerOwner: maxMemoryExports * 3 / 4,
		AtLimit:  "others are read from NATS",
	})
}

// sendEntriesFromMemory answers the list from memory. If it does not, since the server is to be
// asked, it returns false, and whether that is since memory lags behind it.
func (s *Server) sendEntriesFromMemory(
	x *exchange, l *entryListing, form listForm,
) (sent, lags bool, err error) {
	if l.whole {
		var place bound.Hold
		if !s.memoryExports.Try(&place, x.owner(), 1, nil) {
			return false, false, nil
		}
		defer place.Release()
	}
	var state *bucketState
	r := stateRequest{bucket: l.bucket, options: l.options, pin: l.page.pin}
	found, err := readAndHold(x, 0, func() (found foundEntries, size int64, err error) {
		state, lags, err = x.fromMemory(r, func(state *bucketState) error {
			found = l.find(state)
			return nil
		})
		return found, found.bytes(), err
	})
	if err != nil || state == nil {
		return false, lags, err
	}
	state.setHeaders(x.Header())
	return true, false, found.send(x, l, form, state)
}

// A foundEntries is what a list found in memory. The entries must not be changed.
type foundEntries struct {
	// entries are those of the answer, in the order of names, or, of a whole list, of revisions.
	entries []*kv.Entry
	// more says that others follow.
	more bool
}

// bytes returns what the list takes beside what it sends, which is counted as it is sent if the
// list is small.
func (f *foundEntries) bytes() int64 {
	n := 8 * int64(cap(f.entries))
	if n > freeAnswer {
		n += 4 * partBuffer
	}
	return n
}

// find finds the entries in a state of the bucket.
func (l *entryListing) find(state *bucketState) (f foundEntries) {
	if l.whole {
		f.entries = l.findAll(state)
		return f
	}
	bytes := 0
	l.each(state, func(e *kv.Entry) bool {
		if e.IsMarker() {
			return true
		}
		bytes += e.Size
		full := len(f.entries) == l.page.limit
		f.more = full || bytes > kvclient.MaxPageBytes && len(f.entries) > 0
		if !f.more {
			f.entries = append(f.entries, e)
		}
		return !f.more
	})
	return f
}

// findAll finds all entries, in the order of their revisions.
func (l *entryListing) findAll(state *bucketState) (entries []*kv.Entry) {
	visit := func(e *kv.Entry) bool {
		if !e.IsMarker() {
			entries = append(entries, e)
		}
		return true
	}
	if len(l.selection.ScanFilters()) == 0 && state.isLatest() {
		entries = make([]*kv.Entry, 0, state.Len())
		state.AscendRevisions(nil, 0, func(e *kv.Entry) bool {
			return !strings.HasPrefix(e.Key, l.selection.Prefix) || visit(e)
		})
		return entries
	}
	l.each(state, visit)
	slices.SortFunc(entries, func(a, b *kv.Entry) int {
		return cmp.Compare(a.Revision, b.Revision)
	})
	return entries
}

// each calls visit with the entries that are selected, markers included, in the order of names and
// behind the page before, until visit returns false.
func (l *entryListing) each(state *bucketState, visit func(*kv.Entry) bool) {
	filters := slices.Clone(l.selection.Filters)
	for _, k := range l.selection.Keys {
		filters = append(filters, kv.FilterOf(k))
	}
	prefix, after := l.selection.Prefix, l.page.after
	state.AscendFrom(filters, max(prefix, after), func(e *kv.Entry) bool {
		switch {
		case !strings.HasPrefix(e.Key, prefix):
			return e.Key < prefix
		case e.Key == after:
			return true
		}
		return visit(e)
	})
}

// send answers the entries.
func (f *foundEntries) send(
	x *exchange, l *entryListing, form listForm, state *bucketState,
) error {
	end := entriesEnd{
		revision: state.Revision(),
		snapshot: state.snapshot,
		isOther:  l.page.pin != pin{} && !state.snapshot,
	}
	if f.more {
		last := f.entries[len(f.entries)-1].Key
		end.next = cursor{l.digest, last, state.pin()}.String()
	}
	x.linkNext(end.next)
	out := newEntryList(x, form)
	for i, e := range f.entries {
		if err := out.entry(e, l.bucket, l.form); err != nil {
			return out.end(err, "")
		}
		f.entries[i] = nil // so that it can go once it is overwritten
	}
	return out.end(nil, end.tail(out))
}
