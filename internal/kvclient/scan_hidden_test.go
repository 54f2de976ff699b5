package kvclient_test

import (
	"fmt"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// Hidden keys are counted by the names of all subjects, so only where these are few. A listing
// counts them in any case, each once however often it is written.
func TestHiddenKeysAreCountedWhereSubjectsAreFew(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	c := connect(t, kvclient.Options{URL: s.URL()})
	b := shop(t, c, nil)
	nc := s.Conn(t)
	publish := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := nc.Publish(fmt.Sprintf("$KV.shop.a:%d", i), []byte("v")); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := nc.Request("$KV.shop.shown", []byte("v"), soon); err != nil {
			t.Fatal(err)
		}
	}
	want := func(n int, known bool) {
		t.Helper()
		status, err := c.Status(t.Context(), b.Name())
		if err != nil {
			t.Fatal(err)
		}
		got, gotKnown := c.CountHidden(t.Context(), status)
		if gotKnown != known || known && got != n {
			t.Errorf("%d hidden, known %v, want %d, %v", got, gotKnown, n, known)
		}
		listing, err := b.Keys(t.Context(), kv.Filters{})
		if err != nil {
			t.Fatal(err)
		}
		defer listing.Release()
		if len(listing.Entries)+listing.HiddenBelow("") != int(status.Subjects) ||
			listing.HiddenBelow("a:") != n || listing.HiddenBelow("b") != 0 {
			t.Errorf("%d of %d are hidden, and %d are listed", listing.HiddenBelow("a:"),
				status.Subjects, len(listing.Entries))
		}
	}
	want(0, true)
	publish(0, 1)
	publish(0, 1)
	want(1, true)
	publish(1, 4999)
	want(4999, true)
	publish(4999, 5000)
	want(5000, false)
}
