package kvclient_test

import (
	"errors"
	"testing"

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
