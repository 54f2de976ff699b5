package kvclient_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestSizesOfLargeValuesAreRemembered(t *testing.T) {
	t.Parallel()
	c, s := gateway(t)
	b := shop(t, c, nil)
	known := func(want int64) {
		t.Helper()
		if want > 0 {
			want += 256 + int64(len("k"))
		}
		if bytes := b.KnownLargeBytes(key(t, "k")); bytes != want {
			t.Errorf("known to take %d bytes, not %d", bytes, want)
		}
	}
	known(0)
	put(t, b, "k", strings.Repeat("x", kvclient.LargeValue-1))
	known(0)
	put(t, b, "k", strings.Repeat("x", kvclient.LargeValue))
	known(kvclient.LargeValue)
	put(t, b, "k", "small again")
	known(0)
	native, err := s.JetStream(t).KeyValue(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := native.PutString(t.Context(), "k", strings.Repeat("x", 300<<10)); err != nil {
		t.Fatal(err)
	}
	known(0) // The gateway has not read it yet.
	if _, err := get(t, b, "k"); err != nil {
		t.Fatal(err)
	}
	known(300 << 10)
	if _, err := native.PutString(t.Context(), "k", "small"); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, b, "k"); err != nil {
		t.Fatal(err)
	}
	known(0)
}

// Only a few large values are read at once, on both connections together and with reads of
// revisions. So a small answer waits for few of them. In the end all large values are read.
func TestFewLargeValuesAreReadAtOnce(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: p.URL(), Bounds: bounds})
	b := shop(t, c, nil)
	natstest.Eventually(t, soon, "a large value", func() bool {
		return write(t, b, "large", large) == nil
	})
	put(t, b, "small", "v")
	e, err := get(t, b, "large")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.GetRevision(t.Context(), key(t, "large"), e.Revision); err != nil {
		t.Fatal(err)
	}
	p.Pause()
	var readers sync.WaitGroup
	read := func(owner string, read func() error) {
		readers.Go(func() {
			if err := read(); err != nil {
				t.Errorf("%s: %v", owner, err)
			}
		})
	}
	for i := range 20 {
		read("greedy", func() (err error) {
			if i%2 == 0 {
				_, err = b.GetRevision(owned(t, "greedy"), key(t, "large"), e.Revision)
				return err
			}
			_, _, err = b.Get(owned(t, "greedy"), key(t, "large"), kvclient.ReadOptions{})
			return err
		})
	}
	largeOnes, all := bounds.Find("nats-large"), bounds.Find("nats-reads")
	natstest.Eventually(t, soon, "16 reads wait", func() bool {
		for _, r := range bounds.Read() {
			if r.Name == "nats-large" {
				return r.Waiting == 16
			}
		}
		return false
	})
	if n := all.Used(); n > 8<<20 {
		t.Errorf("%d bytes of answers are under way", n)
	}
	read("innocent", func() error {
		_, _, err := b.Get(owned(t, "innocent"), key(t, "small"), kvclient.ReadOptions{})
		return err
	})
	p.Resume()
	readers.Wait()
	if n := largeOnes.Used(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}

// A read of a large value may have to wait for others. It keeps to the deadline of its context,
// such as that of a feed that must know soon whether its source is alive.
func TestReadOfALargeValueKeepsItsDeadline(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	bounds := bound.NewSet()
	c := connect(t, kvclient.Options{URL: s.URL(), Bounds: bounds, RequestTimeout: time.Minute})
	b := shop(t, c, nil)
	put(t, b, "large", large)
	var others bound.Hold
	greedy := bounds.Find("nats-large")
	if err := greedy.Take(t.Context(), &others, "greedy", 1<<30, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := b.Get(ctx, key(t, "large"), kvclient.ReadOptions{})
	wantError(t, err, kv.ErrUnavailable)
}
