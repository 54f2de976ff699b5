package kvclient_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// The consumer that finds what batches had no room for may say that it has nothing although it has:
// one in some thousands does so beside busy writers.
func TestReplayAsksTheLeaderWhereTheListIsEmpty(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	b := shop(t, connect(t, kvclient.Options{URL: p.URL()}), history(3))
	js := s.JetStream(t)
	emptied := false
	p.Hold(`"batch":64`, func() { // This is how many messages the list is asked for at once.
		stream, err := js.Stream(t.Context(), "KV_shop")
		if err != nil {
			t.Error(err)
			return
		}
		for info := range stream.ListConsumers(t.Context()).Info() {
			if info.Config.HeadersOnly {
				info.Config.FilterSubject = "$KV.shop.nothing"
				_, err := js.UpdateConsumer(t.Context(), "KV_shop", info.Config)
				emptied = err == nil
			}
		}
	})
	var want []kv.Revision
	for i := range 12 {
		k := fmt.Sprintf("a.k%d", i)
		put(t, b, k, "an earlier revision")
		want = append(want, put(t, b, k, strings.Repeat("x", 700_000)))
	}
	var got []kv.Revision
	replay := kvclient.Replay{Filters: filters(t, "a.>"), To: want[len(want)-1]}
	err := b.Replay(t.Context(), replay, func(e kv.Entry) error {
		got = append(got, e.Revision)
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v, %v; want %v", got, err, want)
	}
	if !emptied {
		t.Error("no list was emptied")
	}
}

// nats-server passes over the message with which a batch would exceed its bytes, if the consumer
// delivers the last message of each subject and the stream keeps several. A replay reads it all the
// same, at its place.
func TestReplayReadsWhatBatchesHadNoRoomFor(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 300_000, 700_000, 1_000_000} {
		for _, filters := range []string{">", "a.>", "a.> a.*"} {
			t.Run(fmt.Sprintf("%d bytes, %s", size, filters), func(t *testing.T) {
				if testing.Short() && size == 1000 && filters == ">" {
					t.Skip("two others of so many messages have filters")
				}
				t.Parallel()
				c, _ := gateway(t)
				b := shop(t, c, history(3))
				count := 12
				if size == 1000 {
					count = 5000 // more than a batch has messages
				}
				var want []kv.Revision
				for i := range count {
					key := fmt.Sprintf("a.k%d", i)
					if i%5 == 0 {
						put(t, b, key, "an earlier revision")
					}
					want = append(want, put(t, b, key, strings.Repeat("x", size)))
				}
				var fs kv.Filters
				for _, pattern := range strings.Fields(filters) {
					f, err := kv.ParseFilter(pattern)
					if err != nil {
						t.Fatal(err)
					}
					fs = append(fs, f)
				}
				var got []kv.Revision
				replay := kvclient.Replay{Filters: fs, To: want[len(want)-1]}
				err := b.Replay(t.Context(), replay, func(e kv.Entry) error {
					if len(e.Value) != size {
						t.Errorf("revision %d has %d bytes", e.Revision, len(e.Value))
					}
					got = append(got, e.Revision)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want) {
					t.Errorf("read %d revisions %v, want %d", len(got), got[:min(len(got), 20)],
						len(want))
				}
			})
		}
	}
}
