package feed

import (
	"fmt"
	"testing"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// BenchmarkFanOut measures what a change costs that 10,000 subscriptions send, without encoding it
// and writing it to sockets.
func BenchmarkFanOut(b *testing.B) {
	for _, pattern := range []string{">", "k.*", "k.1"} {
		b.Run(pattern, func(b *testing.B) {
			name, _ := kv.ParseBucketName("b")
			f := newFeed(newHub(Options{}.withDefaults()), name)
			src := f.source
			src.startAt(nil, kvclient.StreamState{Epoch: "a"})
			f.setState(live, nil)
			filter, err := kv.ParseFilter(pattern)
			if err != nil {
				b.Fatal(err)
			}
			subs := make([]*Subscription, 10_000)
			for i := range subs {
				subs[i] = &Subscription{feed: f, wake: func() {}, options: SubscribeOptions{
					UpdatesOnly: true, Filters: kv.Filters{filter}}}
				f.mu.Lock()
				subs[i].attach(false)
				f.mu.Unlock()
			}
			events := make([]Event, 0, 16)
			revision := kv.Revision(0)
			for b.Loop() {
				revision++
				src.deliver([]kv.Entry{{Key: "k.1", Value: []byte("v"),
					Position: kv.Position{Epoch: "a", Revision: revision}}})
				for _, s := range subs {
					if events, _ = s.Poll(events[:0], 16); len(events) != 1 {
						b.Fatal(fmt.Sprint(len(events), " events"))
					}
				}
			}
		})
	}
}
