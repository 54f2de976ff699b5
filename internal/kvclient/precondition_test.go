package kvclient_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kvgateway/internal/kvclient"
)

// A keyState is what came before a conditional write.
type keyState struct {
	name     string
	prepare  func(t *testing.T, b *kvclient.Bucket, k string) kvclient.Revision
	hasValue bool
}

var keyStates = []keyState{
	{"never-written", func(*testing.T, *kvclient.Bucket, string) kvclient.Revision { return 0 }, false},
	{"value", func(t *testing.T, b *kvclient.Bucket, k string) kvclient.Revision {
		put(t, b, k, "old")
		return put(t, b, k, "old")
	}, true},
	{"deleted", func(t *testing.T, b *kvclient.Bucket, k string) kvclient.Revision {
		put(t, b, k, "old")
		return remove(t, b, k, false)
	}, false},
	{"purged", func(t *testing.T, b *kvclient.Bucket, k string) kvclient.Revision {
		put(t, b, k, "old")
		return remove(t, b, k, true)
	}, false},
}

const foreign kvclient.Epoch = "0foreign"

// wrong is the check of no message.
var wrong = kvclient.CheckOf(time.Unix(0, 1))

// conditionForms are the ways to write a condition about a key whose last entry is at this
// position. Revision 1 is another key's.
func conditionForms(entry kvclient.Position, epoch kvclient.Epoch) map[string]kvclient.Condition {
	last := entry.Revision
	checked := func(e kvclient.Epoch, check kvclient.Check) kvclient.Condition {
		return kvclient.Condition{Positions: []kvclient.Position{{Revision: last, Epoch: e, Check: check}}}
	}
	at := func(rev kvclient.Revision, e kvclient.Epoch) kvclient.Position {
		return kvclient.Position{Revision: rev, Epoch: e}
	}
	list := func(positions ...kvclient.Position) kvclient.Condition {
		return kvclient.Condition{Positions: positions}
	}
	return map[string]kvclient.Condition{
		"none":              {},
		"any":               {Any: true},
		"0":                 list(at(0, "")),
		"0-epoch":           list(at(0, epoch)),
		"0-foreign":         list(at(0, foreign)),
		"last":              list(at(last, "")),
		"last-epoch":        list(at(last, epoch)),
		"last-foreign":      list(at(last, foreign)),
		"stale":             list(at(1, "")),
		"future-epoch":      list(at(last+1, epoch)),
		"stale,last":        list(at(1, ""), at(last, epoch)),
		"foreign,last":      list(at(last, foreign), at(last, "")),
		"stale,future":      list(at(1, epoch), at(last+1000, "")),
		"0,last-foreign":    list(at(0, epoch), at(last, foreign)),
		"last-checked":      checked(epoch, entry.Check),
		"last-moved":        checked(foreign, entry.Check),
		"last-rewritten":    checked(epoch, wrong),
		"greatest-revision": list(at(kvclient.MaxRevision, epoch)),
	}
}

// matches is the contract's sentence about what a condition selects, apart from the code that it
// tests.
func (s keyState) matches(c kvclient.Condition, last kvclient.Revision, epoch kvclient.Epoch) bool {
	if c.Any {
		return s.hasValue
	}
	for _, p := range c.Positions {
		switch {
		case p.Revision != last, p.Check == wrong:
		case p.Check.Known() && last > 0, p.Epoch != foreign:
			return true
		}
	}
	return false
}

// lastPosition is that of a key's last entry, with its check; zero for none.
func lastPosition(t *testing.T, b *kvclient.Bucket, k string) kvclient.Position {
	t.Helper()
	e, err := get(t, b, k)
	if deleted, ok := errors.AsType[*kvclient.KeyDeletedError](err); ok {
		return deleted.Marker.Position
	}
	if err != nil && !errors.Is(err, kvclient.ErrKeyNotFound) {
		t.Fatal(err)
	}
	return e.Position
}

// forEveryPrecondition calls test with a key in each state and every precondition about it.
func forEveryPrecondition(t *testing.T, test func(t *testing.T, b *kvclient.Bucket, s keyState, k kvclient.Key, last kvclient.Revision, p kvclient.Precondition)) {
	t.Helper()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	put(t, b, "another", "v") // revision 1
	n := 0
	for _, state := range keyStates {
		for _, ifMatch := range sorted(conditionForms(kvclient.Position{}, "")) {
			for _, ifNoneMatch := range []string{"none", "any", "0", "last", "last-foreign", "last-moved",
				"last-rewritten", "stale", "stale,last"} {
				n++
				k := fmt.Sprintf("k%d", n)
				last := state.prepare(t, b, k)
				forms := conditionForms(lastPosition(t, b, k), b.Epoch())
				p := kvclient.Precondition{IfMatch: forms[ifMatch], IfNoneMatch: forms[ifNoneMatch]}
				t.Run(state.name+"/if-match="+ifMatch+"/if-none-match="+ifNoneMatch, func(t *testing.T) {
					test(t, b, state, key(t, k), last, p)
				})
			}
		}
	}
}

// wantRefused checks that the precondition was found not to hold, and that nothing was stored.
func (s keyState) wantRefused(t *testing.T, b *kvclient.Bucket, k kvclient.Key, last kvclient.Revision, p kvclient.Precondition, err error) {
	t.Helper()
	mismatch, ok := errors.AsType[*kvclient.RevisionMismatchError](err)
	if !ok {
		t.Fatalf("error %v, want a RevisionMismatchError", err)
	}
	ifMatchFailed := p.IfMatch.Present() && !s.matches(p.IfMatch, last, b.Epoch())
	want := kvclient.RevisionMismatchError{
		Current:   kvclient.Position{Revision: last, Epoch: b.Epoch()},
		KeyExists: !ifMatchFailed && p.IfNoneMatch.Any, // If-Match comes first
	}
	mismatch.Current.Check = kvclient.Check{} // where a read told it
	if diff := cmp.Diff(want, *mismatch); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	s.wantUntouched(t, b, k, last)
}

func (s keyState) wantUntouched(t *testing.T, b *kvclient.Bucket, k kvclient.Key, last kvclient.Revision) {
	t.Helper()
	e, err := get(t, b, k.String())
	deleted, isDeleted := errors.AsType[*kvclient.KeyDeletedError](err)
	switch {
	case last == 0:
		if !errors.Is(err, kvclient.ErrKeyNotFound) {
			t.Errorf("afterwards: %+v, %v", e, err)
		}
	case s.hasValue:
		if err != nil || e.Revision != last || string(e.Value) != "old" {
			t.Errorf("afterwards: %+v, %v", e, err)
		}
	case !isDeleted || deleted.Marker.Revision != last:
		t.Errorf("afterwards: %+v, %v", e, err)
	}
}

func (s keyState) holds(p kvclient.Precondition, last kvclient.Revision, epoch kvclient.Epoch) bool {
	return (!p.IfMatch.Present() || s.matches(p.IfMatch, last, epoch)) &&
		(!p.IfNoneMatch.Present() || !s.matches(p.IfNoneMatch, last, epoch))
}

func TestEveryPreconditionOfPut(t *testing.T) {
	t.Parallel()
	forEveryPrecondition(t, func(t *testing.T, b *kvclient.Bucket, s keyState, k kvclient.Key, last kvclient.Revision, p kvclient.Precondition) {
		w, err := b.Put(t.Context(), kvclient.Write{Key: k, Value: []byte("new"), Precondition: p})
		if !s.holds(p, last, b.Epoch()) {
			s.wantRefused(t, b, k, last, p, err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		wantValue(t, b, k.String(), "new", w.Revision)
		if w.Epoch != b.Epoch() || w.Revision <= last {
			t.Errorf("written %+v after %d", w, last)
		}
		if w.Created && s.hasValue {
			t.Error("called created, but there was a value")
		}
		plainCreate := p.IfNoneMatch.Any && !p.IfMatch.Present() || !p.IfNoneMatch.Present() && len(p.IfMatch.Positions) == 1 && last == 0
		if plainCreate && !w.Created {
			t.Error("not called created")
		}
	})
}

func TestEveryPreconditionOfDelete(t *testing.T) {
	t.Parallel()
	for _, purge := range []bool{false, true} {
		t.Run(fmt.Sprintf("purge=%v", purge), func(t *testing.T) {
			t.Parallel()
			forEveryPrecondition(t, func(t *testing.T, b *kvclient.Bucket, s keyState, k kvclient.Key, last kvclient.Revision, p kvclient.Precondition) {
				w, err := b.Delete(t.Context(), kvclient.Deletion{Key: k, Purge: purge, Precondition: p})
				_, isDeleted := errors.AsType[*kvclient.KeyDeletedError](err)
				switch {
				// Preconditions count only where the request would succeed without them (RFC 9110
				// §13.2.1).
				case last == 0:
					wantError(t, err, kvclient.ErrKeyNotFound)
					s.wantUntouched(t, b, k, last)
				case !s.hasValue && !purge:
					if !isDeleted {
						t.Errorf("error %v, want a KeyDeletedError", err)
					}
					s.wantUntouched(t, b, k, last)
				case !s.holds(p, last, b.Epoch()):
					s.wantRefused(t, b, k, last, p, err)
				case err != nil:
					t.Fatal(err)
				default:
					op, entries := kvclient.Delete, 3
					if purge {
						op, entries = kvclient.Purge, 1
					}
					wantMarker(t, b, k.String(), op, w.Revision)
					if got, err := b.HistoryOf(t.Context(), k, false); err != nil || len(got) != entries {
						t.Errorf("%d entries left, %v; want %d", len(got), err, entries)
					}
				}
			})
		})
	}
}

func TestPreconditionOnAMissingBucket(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	for _, name := range sorted(conditionForms(kvclient.Position{Revision: 7}, b.Epoch())) {
		condition := conditionForms(kvclient.Position{Revision: 7}, b.Epoch())[name]
		for _, p := range []kvclient.Precondition{{IfMatch: condition}, {IfNoneMatch: condition}} {
			_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Precondition: p})
			wantError(t, err, kvclient.ErrBucketNotFound)
			_, err = b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k"), Precondition: p})
			wantError(t, err, kvclient.ErrBucketNotFound)
		}
	}
}
