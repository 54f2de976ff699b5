package kvclient_test

import (
	"testing"
	"time"

	"kvgateway/internal/kvclient"
)

// The server tells of which key how much was purged, and when.
func TestPurgeIsTold(t *testing.T) {
	t.Parallel()
	c, _ := gateway(t)
	b := shop(t, c, history(5))
	put(t, b, "a", "1")
	put(t, b, "a", "2")
	e, err := get(t, b, "a")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan kvclient.Advisory, 10)
	c.Observe(func(a kvclient.Advisory) {
		if a.Kind == kvclient.StreamPurged {
			told <- a
		}
	})
	remove(t, b, "a", false)
	if _, err := b.PurgeMarkers(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	select {
	case a := <-told:
		if a.Key != "a" || a.Purged != 3 || a.At.Before(e.Created) || time.Since(a.At) > time.Minute {
			t.Errorf("told of %+v", a)
		}
	case <-time.After(10 * time.Second):
		t.Error("not told")
	}
}
