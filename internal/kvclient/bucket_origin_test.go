package kvclient_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

func TestMirrorWritesToItsOrigin(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	origin := shop(t, c, history(3))
	put(t, origin, "before", "1")
	mirror := newBucket(t, c, "copy", func(config *kv.BucketConfig) {
		mirrorOf("shop")(config)
		config.History = 3
	})

	// What is written to the mirror is stored in the origin, and copied back.
	rev := put(t, mirror, "after", "2")
	wantValue(t, origin, "after", "2", rev)
	awaitRevision(t, c, "copy", rev)
	wantValue(t, mirror, "before", "1", 1)
	wantValue(t, mirror, "after", "2", rev)
	if got := keys(t, mirror); !slices.Equal(got, []string{"after", "before"}) {
		t.Errorf("keys of the mirror %v", got)
	}
	if got := keys(t, mirror, "before"); !slices.Equal(got, []string{"before"}) {
		t.Errorf("filtered keys of the mirror %v", got)
	}
	e, err := mirror.GetRevision(t.Context(), key(t, "before"), 1)
	if err != nil || string(e.Value) != "1" {
		t.Errorf("revision of the mirror: %+v, %v", e, err)
	}

	marker := remove(t, mirror, "before", false)
	wantMarker(t, origin, "before", kv.Delete, marker)
	awaitRevision(t, c, "copy", marker)
	wantMarker(t, mirror, "before", kv.Delete, marker)
	wantHistory(t, mirror, "before", "put 1", "delete ")
}

// A write to a mirror is stored in its origin. A precondition is checked there, not against the
// entries that the mirror has by then.
func TestPreconditionsOnAMirrorAreCheckedInItsOrigin(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	origin := shop(t, c, nil)
	mirror := newBucket(t, c, "copy", mirrorOf("shop"))
	for i := range 100 {
		k := "k" + strconv.Itoa(i)
		rev := put(t, mirror, k, "1")
		_, err := create(t, mirror, k, "2")
		mismatch, ok := errors.AsType[*kv.RevisionMismatchError](err)
		if !ok || mismatch.Current.Revision != rev || !mismatch.KeyExists {
			t.Fatalf("create over %s at %d: %v", k, rev, err)
		}
		w, err := mirror.Put(t.Context(), kvclient.Write{
			Key: key(t, k), Value: []byte("3"), Precondition: ifRevision(rev),
		})
		if err != nil {
			t.Fatalf("update of %s: %v", k, err)
		}
		wantValue(t, origin, k, "3", w.Revision)
		_, err = mirror.Put(t.Context(), kvclient.Write{
			Key: key(t, k), Value: []byte("4"), Precondition: ifPresent,
		})
		if err != nil {
			t.Fatalf("replacement of %s, just written: %v", k, err)
		}
		if _, err := mirror.Delete(t.Context(), kvclient.Deletion{Key: key(t, k)}); err != nil {
			t.Fatalf("delete of %s, just written: %v", k, err)
		}
		if _, err := create(t, mirror, k, "5"); err != nil {
			t.Fatalf("create over the marker of %s: %v", k, err)
		}
	}
}

func TestMirrorOfAnotherDomainWritesToItsOrigin(t *testing.T) {
	t.Parallel()
	hub, leaf := hubAndLeaf(t)
	origin := everything(t, connect(t, kvclient.Options{URL: hub.URL()}), "shop")
	c := connect(t, kvclient.Options{URL: leaf.URL()})
	mirror := newBucket(t, c, "shop", func(config *kv.BucketConfig) {
		config.Mirror = &kv.Source{
			Name: "shop", External: &kv.External{API: "$JS.hub.API"},
		}
	})
	rev := put(t, mirror, "near", "v")
	wantValue(t, origin, "near", "v", rev)
	awaitRevision(t, c, "shop", rev)
	wantValue(t, mirror, "near", "v", rev)
	native := native(t, leaf.JetStream(t), "shop")
	wantNative(t, native, "near", "v", uint64(rev))
	if rev, err := native.PutString(t.Context(), "native", "v"); err != nil {
		t.Errorf("native put through the mirror: %v", err)
	} else {
		awaitRevision(t, c, "shop", kv.Revision(rev))
		wantValue(t, mirror, "native", "v", kv.Revision(rev))
	}
	if got := keys(t, mirror); !slices.Equal(got, []string{"a", "native", "near"}) {
		t.Errorf("keys of the mirror %v", got)
	}
	marker := remove(t, mirror, "near", false)
	wantMarker(t, origin, "near", kv.Delete, marker)
}
