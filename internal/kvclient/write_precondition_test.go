package kvclient_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// tryConditionalWrites tries each kind of conditional write of a key, and checks whether it is
// refused. If they are not to be refused it stops after the first one, since that changes the key.
func tryConditionalWrites(
	t *testing.T, b *kvclient.Bucket, k string, p kv.Precondition, refused bool,
) {
	t.Helper()
	writes := map[string]func() (kvclient.Written, error){
		"put": func() (kvclient.Written, error) {
			return b.Put(t.Context(), kvclient.Write{
				Key: key(t, k), Value: []byte("mine"), Precondition: p,
			})
		},
		"patch": func() (kvclient.Written, error) {
			return b.Patch(t.Context(), kvclient.Patch{Key: key(t, k), Precondition: p})
		},
		"delete": func() (kvclient.Written, error) {
			return b.Delete(t.Context(), kvclient.Deletion{Key: key(t, k), Precondition: p})
		},
	}
	for name, write := range writes {
		w, err := write()
		_, mismatch := errors.AsType[*kv.RevisionMismatchError](err)
		if refused != mismatch || !refused && err != nil {
			t.Errorf("%s if the key is at %+v: %+v, %v", name, p.IfMatch.Positions, w, err)
		}
		if !refused {
			return
		}
	}
}

// A stream that was restored from a backup assigns its lost revisions again, in the same epoch.
func TestTagOfALostRevisionMatchesNothing(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "kept")
	kept, err := get(t, b, "k")
	if err != nil {
		t.Fatal(err)
	}
	saved := s.Save()
	awaitReady(t, c)
	put(t, b, "k", "lost")
	lost, err := get(t, b, "k")
	if err != nil {
		t.Fatal(err)
	}
	s.Restore(saved)
	awaitReady(t, c)
	b = bind(t, c, "shop")
	tryConditionalWrites(t, b, "k", ifMatch(lost.Position), true)
	put(t, b, "k", "theirs")
	now, err := get(t, b, "k")
	if err != nil || now.Revision != lost.Revision || now.Epoch != lost.Epoch ||
		now.Check == lost.Check {
		t.Fatalf("the key was at %+v and is at %+v, %v", lost.Position, now.Position, err)
	}
	tryConditionalWrites(t, b, "k", ifMatch(lost.Position), true)
	tryConditionalWrites(t, b, "k", ifMatch(kept.Position), true)
	_, _, err = b.Get(t.Context(), key(t, "k"), kvclient.ReadOptions{MinRevision: lost.Position})
	if _, ok := errors.AsType[*kv.EpochChangedError](err); !ok {
		t.Errorf("read since the lost revision: %v", err)
	}
	wanted, _, err := b.Get(t.Context(), key(t, "k"), reached(now.Position))
	if err != nil || wanted.Position != now.Position {
		t.Errorf("read since the present revision: %+v, %v", wanted.Position, err)
	}
	tryConditionalWrites(t, b, "k", ifMatch(now.Position), false)
}

// Old servers move the creation time of a stream, although nobody has created it again.
func TestTagSurvivesAMovedEpoch(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	for _, k := range []string{"k", "l"} {
		put(t, b, k, "v")
	}
	e, err := get(t, b, "k")
	if err != nil {
		t.Fatal(err)
	}
	s.MoveCreated()
	awaitReady(t, c)
	b = bind(t, c, "shop")
	now, err := get(t, b, "k")
	if err != nil || now.Epoch == e.Epoch || now.Check != e.Check {
		t.Fatalf("the key was at %+v and is at %+v, %v", e.Position, now.Position, err)
	}
	for _, key1 := range []string{"k", "l"} {
		if _, _, err := b.Get(t.Context(), key(t, key1), reached(e.Position)); err != nil {
			t.Errorf("%s since the revision of the old epoch: %v", key1, err)
		}
	}
	unchecked := e.Unchecked()
	tryConditionalWrites(t, b, "k", ifMatch(unchecked), true)
	tryConditionalWrites(t, b, "k", ifMatch(e.Position), false)
}

// A bucket that was deleted and created again has other messages, even if they have the same
// revisions.
func TestTagOfADeletedBucketMatchesNothing(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	put(t, b, "k", "v")
	e, err := get(t, b, "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	b = shop(t, c, nil)
	put(t, b, "k", "v")
	tryConditionalWrites(t, b, "k", ifMatch(e.Position), true)
	_, _, err = b.Get(t.Context(), key(t, "k"), kvclient.ReadOptions{MinRevision: e.Position})
	if _, ok := errors.AsType[*kv.EpochChangedError](err); !ok {
		t.Errorf("read since a revision of the deleted bucket: %v", err)
	}
}

// A keyState is a state in which a key can be before a conditional write.
type keyState struct {
	name string
	// prepare brings a key that was never written into this state. It returns the revision of the
	// key's last entry, or 0 if it has none.
	prepare func(t *testing.T, b *kvclient.Bucket, k string) kv.Revision
	// hasValue says whether the last entry is a value.
	hasValue bool
}

var keyStates = []keyState{
	{"never-written", func(*testing.T, *kvclient.Bucket, string) kv.Revision {
		return 0
	}, false},
	{"value", func(t *testing.T, b *kvclient.Bucket, k string) kv.Revision {
		put(t, b, k, "old")
		return put(t, b, k, "old")
	}, true},
	{"deleted", func(t *testing.T, b *kvclient.Bucket, k string) kv.Revision {
		put(t, b, k, "old")
		return remove(t, b, k, false)
	}, false},
	{"purged", func(t *testing.T, b *kvclient.Bucket, k string) kv.Revision {
		put(t, b, k, "old")
		return remove(t, b, k, true)
	}, false},
}

// wrong is a check that no message has.
var wrong = kv.CheckOf(time.Unix(0, 1))

// conditionForms returns the ways to write a condition about a key whose last entry is at this
// position. Revision 1 is that of another key.
func conditionForms(entry kv.Position, epoch kv.Epoch) map[string]kv.Condition {
	last := entry.Revision
	checked := func(e kv.Epoch, check kv.Check) kv.Condition {
		return kv.Condition{Positions: []kv.Position{
			{Revision: last, Epoch: e, Check: check},
		}}
	}
	at := func(rev kv.Revision, e kv.Epoch) kv.Position {
		return kv.Position{Revision: rev, Epoch: e}
	}
	list := func(positions ...kv.Position) kv.Condition {
		return kv.Condition{Positions: positions}
	}
	return map[string]kv.Condition{
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
		"greatest-revision": list(at(kv.MaxRevision, epoch)),
	}
}

// matches reports whether a condition selects the last entry of a key in this state. It repeats
// what the contract says, independently of the code under test.
func (s keyState) matches(c kv.Condition, last kv.Revision, epoch kv.Epoch) bool {
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

// lastPosition returns the position of a key's last entry, with its check, or the zero position if
// it has none.
func lastPosition(t *testing.T, b *kvclient.Bucket, k string) kv.Position {
	t.Helper()
	e, err := get(t, b, k)
	if deleted, ok := errors.AsType[*kv.KeyDeletedError](err); ok {
		return deleted.Marker.Position
	}
	if err != nil && !errors.Is(err, kv.ErrKeyNotFound) {
		t.Fatal(err)
	}
	return e.Position
}

// A preconditionTest is one precondition about one key.
type preconditionTest struct {
	bucket       *kvclient.Bucket
	key          kv.Key
	state        keyState    // of the key
	last         kv.Revision // of the key's last entry
	precondition kv.Precondition
}

// forEveryPrecondition calls test with every precondition about a key in every state. Each has a
// key of its own.
func forEveryPrecondition(t *testing.T, test func(t *testing.T, tc preconditionTest)) {
	t.Helper()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	put(t, b, "another", "v") // This has revision 1.
	noneMatchForms := []string{
		"none", "any", "0", "last", "last-foreign", "last-moved", "last-rewritten", "stale",
		"stale,last",
	}
	n := 0
	for _, state := range keyStates {
		for _, ifMatch := range sorted(conditionForms(kv.Position{}, "")) {
			for _, ifNoneMatch := range noneMatchForms {
				n++
				k := fmt.Sprintf("k%d", n)
				last := state.prepare(t, b, k)
				forms := conditionForms(lastPosition(t, b, k), b.Epoch())
				p := kv.Precondition{IfMatch: forms[ifMatch], IfNoneMatch: forms[ifNoneMatch]}
				name := state.name + "/if-match=" + ifMatch + "/if-none-match=" + ifNoneMatch
				t.Run(name, func(t *testing.T) {
					test(t, preconditionTest{b, key(t, k), state, last, p})
				})
			}
		}
	}
}

// holds reports whether the precondition holds for the key.
func (tc preconditionTest) holds() bool {
	p, epoch := tc.precondition, tc.bucket.Epoch()
	return (!p.IfMatch.Present() || tc.state.matches(p.IfMatch, tc.last, epoch)) &&
		(!p.IfNoneMatch.Present() || !tc.state.matches(p.IfNoneMatch, tc.last, epoch))
}

// wantRefused checks that the request failed since the precondition does not hold, and that
// nothing was stored.
func (tc preconditionTest) wantRefused(t *testing.T, err error) {
	t.Helper()
	mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
	if !ok {
		t.Fatalf("error %v, want a RevisionMismatchError", err)
	}
	p, epoch := tc.precondition, tc.bucket.Epoch()
	ifMatchFailed := p.IfMatch.Present() && !tc.state.matches(p.IfMatch, tc.last, epoch)
	want := kv.RevisionMismatchError{
		Current:   kv.Position{Revision: tc.last, Epoch: epoch},
		KeyExists: !ifMatchFailed && p.IfNoneMatch.Any, // If-Match is judged first.
		Excluded:  !ifMatchFailed && !p.IfNoneMatch.Any,
		Deleted:   mismatch.Deleted && tc.last > 0 && !tc.state.hasValue,
	}
	mismatch.Current.Check = kv.Check{} // It is known only if the write had to read.
	if diff := cmp.Diff(want, *mismatch); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	tc.wantUntouched(t)
}

// wantUntouched checks that the key is as it was before the request.
func (tc preconditionTest) wantUntouched(t *testing.T) {
	t.Helper()
	e, err := get(t, tc.bucket, tc.key.String())
	deleted, isDeleted := errors.AsType[*kv.KeyDeletedError](err)
	switch {
	case tc.last == 0:
		if !errors.Is(err, kv.ErrKeyNotFound) {
			t.Errorf("afterwards: %+v, %v", e, err)
		}
	case tc.state.hasValue:
		if err != nil || e.Revision != tc.last || string(e.Value) != "old" {
			t.Errorf("afterwards: %+v, %v", e, err)
		}
	case !isDeleted || deleted.Marker.Revision != tc.last:
		t.Errorf("afterwards: %+v, %v", e, err)
	}
}

func TestEveryPreconditionOfPut(t *testing.T) {
	t.Parallel()
	forEveryPrecondition(t, func(t *testing.T, tc preconditionTest) {
		b, p := tc.bucket, tc.precondition
		w, err := b.Put(t.Context(), kvclient.Write{
			Key: tc.key, Value: []byte("new"), Precondition: p,
		})
		if !tc.holds() {
			tc.wantRefused(t, err)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		wantValue(t, b, tc.key.String(), "new", w.Revision)
		if w.Epoch != b.Epoch() || w.Revision <= tc.last {
			t.Errorf("written %+v after %d", w, tc.last)
		}
		if w.Created && tc.state.hasValue {
			t.Error("called created, but there was a value")
		}
		onlyIfAbsent := p.IfNoneMatch.Any && !p.IfMatch.Present()
		onlyAtZero := !p.IfNoneMatch.Present() && len(p.IfMatch.Positions) == 1 && tc.last == 0
		if (onlyIfAbsent || onlyAtZero) && !w.Created {
			t.Error("not called created")
		}
	})
}

func TestEveryPreconditionOfDelete(t *testing.T) {
	t.Parallel()
	for _, purge := range []bool{false, true} {
		t.Run(fmt.Sprintf("purge=%v", purge), func(t *testing.T) {
			t.Parallel()
			forEveryPrecondition(t, func(t *testing.T, tc preconditionTest) {
				tc.checkDelete(t, purge)
			})
		})
	}
}

// checkDelete deletes the key, and checks the answer and what is left of the key.
func (tc preconditionTest) checkDelete(t *testing.T, purge bool) {
	w, err := tc.bucket.Delete(t.Context(), kvclient.Deletion{
		Key: tc.key, Purge: purge, Precondition: tc.precondition,
	})
	_, isDeleted := errors.AsType[*kv.KeyDeletedError](err)
	switch {
	// Preconditions count only if the request would succeed without them (RFC 9110 §13.2.1).
	case tc.last == 0:
		wantError(t, err, kv.ErrKeyNotFound)
		tc.wantUntouched(t)
	case !tc.state.hasValue && !purge:
		if !isDeleted {
			t.Errorf("error %v, want a KeyDeletedError", err)
		}
		tc.wantUntouched(t)
	case !tc.holds():
		tc.wantRefused(t, err)
	case err != nil:
		t.Fatal(err)
	default:
		op, entries := kv.Delete, 3
		if purge {
			op, entries = kv.Purge, 1
		}
		wantMarker(t, tc.bucket, tc.key.String(), op, w.Revision)
		got, err := tc.bucket.HistoryOf(t.Context(), tc.key, false)
		if err != nil || len(got) != entries {
			t.Errorf("%d entries left, %v; want %d", len(got), err, entries)
		}
	}
}

func TestPreconditionOnAMissingBucketIsNotJudged(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	if err := c.DeleteBucket(t.Context(), b.Name()); err != nil {
		t.Fatal(err)
	}
	for _, name := range sorted(conditionForms(kv.Position{Revision: 7}, b.Epoch())) {
		condition := conditionForms(kv.Position{Revision: 7}, b.Epoch())[name]
		for _, p := range []kv.Precondition{{IfMatch: condition}, {IfNoneMatch: condition}} {
			_, err := b.Put(t.Context(), kvclient.Write{Key: key(t, "k"), Precondition: p})
			wantError(t, err, kv.ErrBucketNotFound)
			_, err = b.Delete(t.Context(), kvclient.Deletion{Key: key(t, "k"), Precondition: p})
			wantError(t, err, kv.ErrBucketNotFound)
		}
	}
}
