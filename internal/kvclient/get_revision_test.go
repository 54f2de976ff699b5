package kvclient_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestClusterReadWaitsForMinimumRevision(t *testing.T) {
	_, _, b, js := cluster(t)
	last := put(t, b, "k", "v")
	future := kv.Position{Revision: last + 1}
	for _, wait := range []time.Duration{kvclient.NoWait, 300 * time.Millisecond} {
		start := time.Now()
		options := kvclient.ReadOptions{MinRevision: future, Wait: wait}
		_, _, err := b.Get(t.Context(), key(t, "k"), options)
		wantError(t, err, kv.ErrRevisionNotReached)
		if d := time.Since(start); d < wait || d > wait+promptly {
			t.Errorf("waited %v, want about %v", d, wait)
		}
	}
	type result struct {
		e   kv.Entry
		err error
	}
	got := make(chan result, 1)
	go func() {
		e, _, err := b.Get(t.Context(), key(t, "other"), kvclient.ReadOptions{MinRevision: future})
		got <- result{e, err}
	}()
	if _, err := native(t, js, "shop").PutString(t.Context(), "other", "w"); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.err != nil || r.e.Revision != last+1 {
		t.Errorf("%+v, %v; want revision %d", r.e, r.err, last+1)
	}
}

func TestGetRevision(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(3))
	first := put(t, b, "k", "1")
	other := put(t, b, "other", "x")
	put(t, b, "k", "2")
	marker := remove(t, b, "k", false)
	e, err := b.GetRevision(t.Context(), key(t, "k"), first)
	if err != nil || string(e.Value) != "1" || e.Revision != first {
		t.Errorf("revision %d: %+v, %v", first, e, err)
	}
	for _, rev := range []kv.Revision{0, other, marker + 1, kv.MaxRevision} {
		_, err := b.GetRevision(t.Context(), key(t, "k"), rev)
		if !errors.Is(err, kv.ErrRevisionNotFound) {
			t.Errorf("revision %d: %v, want ErrRevisionNotFound", rev, err)
		}
	}
	_, err = b.GetRevision(t.Context(), key(t, "k"), marker)
	deleted, ok := errors.AsType[*kv.KeyDeletedError](err)
	if !ok || deleted.Marker.Revision != marker {
		t.Errorf("revision of the marker: %v", err)
	}
	put(t, b, "k", "3")
	put(t, b, "k", "4") // The history is 3, so this drops the first value.
	_, err = b.GetRevision(t.Context(), key(t, "k"), first)
	if !errors.Is(err, kv.ErrRevisionNotFound) {
		t.Errorf("dropped revision: %v", err)
	}
}

func TestReadWaitsForMinimumRevision(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	native := native(t, s.JetStream(t), "shop")
	put(t, b, "a", "1")
	last := put(t, b, "b", "2")
	at := func(rev kv.Revision, wait time.Duration) kvclient.ReadOptions {
		options := reached(kv.Position{Revision: rev, Epoch: b.Epoch()})
		options.Wait = wait
		return options
	}
	// The bucket has reached that revision, though the key is at a lower one.
	e, _, err := b.Get(t.Context(), key(t, "a"), at(last, kvclient.NoWait))
	if err != nil || e.Revision != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	_, _, err = b.Get(t.Context(), key(t, "none"), at(last, kvclient.NoWait))
	wantError(t, err, kv.ErrKeyNotFound)
	for _, wait := range []time.Duration{kvclient.NoWait, 200 * time.Millisecond} {
		took(t, "get of the future", max(wait, 0)+promptly, func() {
			_, _, err := b.Get(t.Context(), key(t, "a"), at(last+1, wait))
			wantError(t, err, kv.ErrRevisionNotReached)
		})
	}
	var waiting sync.WaitGroup
	for _, k := range []string{"a", "new"} {
		waiting.Go(func() {
			e, served, err := b.Get(t.Context(), key(t, k), at(last+1, 0))
			if err != nil || served != kvclient.Leader || k == "new" && string(e.Value) != "3" {
				t.Errorf("%s: %+v by %v, %v", k, e, served, err)
			}
		})
	}
	if _, err := native.PutString(t.Context(), "new", "3"); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	elsewhere := kv.Position{Revision: 1, Epoch: foreign}
	_, _, err = b.Get(t.Context(), key(t, "a"), reached(elsewhere))
	changed, ok := errors.AsType[*kv.EpochChangedError](err)
	if !ok || changed.Current != b.Epoch() {
		t.Errorf("foreign epoch: %v", err)
	}
}

// A read that waits for a revision of one epoch must not be answered from the next epoch.
func TestWaitEndsWithTheEpoch(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	js := s.JetStream(t)
	b := shop(t, c, nil)
	put(t, b, "k", "old")
	before := sentMessages(t, c, s)
	answer := make(chan error, 1)
	go func() {
		_, _, err := b.Get(t.Context(), key(t, "k"), kvclient.ReadOptions{
			MinRevision: kv.Position{Revision: 5, Epoch: b.Epoch()}, Wait: 20 * time.Second})
		answer <- err
	}()
	natstest.Eventually(t, 20*time.Second, "it has asked once, and waits", func() bool {
		return sentMessages(t, c, s) > before
	})
	recreate(t, js, "1", "2", "3", "4", "5", "6")
	err := <-answer
	_, ok := errors.AsType[*kv.EpochChangedError](err)
	if !ok && !errors.Is(err, kv.ErrBucketNotFound) {
		t.Errorf("error %v, want an EpochChangedError", err)
	}
}

// When the gateway ends, reads that wait for a revision are answered at once. They neither delay
// the end nor stay without an answer.
func TestWaitsEndWithTheGateway(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, nil)
	revision := put(t, b, "k", "v")
	wait := func(revision kv.Revision) error {
		options := reached(kv.Position{Revision: revision})
		options.Wait = time.Hour
		_, _, err := b.Get(t.Context(), key(t, "none"), options)
		return err
	}
	answer := make(chan error, 1)
	go func() { answer <- wait(revision + 1) }()
	c.StopWaiting()
	c.StopWaiting()
	if err := <-answer; !errors.Is(err, kv.ErrRevisionNotReached) {
		t.Errorf("error %v, want ErrRevisionNotReached", err)
	}
	if err := wait(revision); !errors.Is(err, kv.ErrKeyNotFound) {
		t.Errorf("error %v, want ErrKeyNotFound: the revision is there", err)
	}
}

// A look that NATS does not answer in time does not end a wait that is longer.
func TestWaitForARevisionOutlastsSilence(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	p, _, b, native := behindProxy(t, timeout)
	entry, err := native.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	read := func(wait time.Duration) error {
		options := reached(kv.Position{Revision: kv.Revision(entry.Revision()), Epoch: b.Epoch()})
		options.Wait = wait
		_, _, err := b.Get(t.Context(), key(t, "k"), options)
		return err
	}
	p.Pause()
	wantError(t, read(2*timeout), kv.ErrTimeout)
	answered := make(chan error, 1)
	go func() { answered <- read(time.Minute) }()
	select {
	case err := <-answered:
		t.Fatalf("given up before the end of the wait: %v", err)
	case <-time.After(2 * timeout):
	}
	p.Resume()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}
