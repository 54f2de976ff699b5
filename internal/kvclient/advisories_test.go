package kvclient_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// The server's advisory says which key was purged, how many messages it had, and when.
func TestPurgeAdvisoryNamesKeyAndCount(t *testing.T) {
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
		age := time.Since(a.At)
		if a.Key != "a" || a.Purged != 3 || a.At.Before(e.Created) || age > time.Minute {
			t.Errorf("told of %+v", a)
		}
	case <-time.After(10 * time.Second):
		t.Error("not told")
	}
}

// A removalTest is a request of the JetStream API that removes messages of the bucket "shop", and
// the kind of the advisory that observers get of it.
type removalTest struct {
	do   func(t *testing.T, js jetstream.JetStream, stream jetstream.Stream)
	kind kvclient.AdvisoryKind
}

// Observers get an advisory of each request that removes messages, and of no request that changes
// nothing.
func TestObserverIsToldOfEveryRemoval(t *testing.T) {
	t.Parallel()
	must := func(t *testing.T, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]removalTest{
		"purge": {
			do: func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream) {
				must(t, s.Purge(t.Context()))
			},
			kind: kvclient.StreamPurged,
		},
		"message": {
			do: func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream) {
				must(t, s.DeleteMsg(t.Context(), 1))
			},
			kind: kvclient.StreamPurged,
		},
		"secure": {
			do: func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream) {
				must(t, s.SecureDeleteMsg(t.Context(), 1))
			},
			kind: kvclient.StreamPurged,
		},
		"stream": {
			do: func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream) {
				must(t, js.DeleteStream(t.Context(), "KV_shop"))
			},
			kind: kvclient.StreamDeleted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := gateway(t)
			js := s.JetStream(t)
			stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
				Name:              "KV_shop",
				Subjects:          []string{"$KV.shop.>"},
				MaxMsgsPerSubject: 5,
			})
			must(t, err)
			_, err = js.Publish(t.Context(), "$KV.shop.a", nil)
			must(t, err)
			began := time.Now()
			told := make(chan kvclient.Advisory, 10)
			c.Observe(func(a kvclient.Advisory) {
				if a.Kind != kvclient.StreamCreated {
					told <- a
				}
			})
			if err := stream.DeleteMsg(t.Context(), 77); err == nil {
				t.Fatal("deleted what is not there")
			}
			_, err = stream.Info(t.Context())
			must(t, err)
			tc.do(t, js, stream)
			select {
			case a := <-told:
				timely := a.At.After(began.Add(-time.Second)) && time.Since(a.At) < time.Minute
				if a.Kind != tc.kind || a.Bucket.String() != "shop" || !timely {
					t.Errorf("told of %+v", a)
				}
			case <-time.After(10 * time.Second):
				t.Error("not told")
			}
		})
	}
}

// The server writes an audit record for each request that any gateway sends. Nearly all of them
// are harmless, and are recognized by their bytes, without being parsed.
func BenchmarkHarmlessAudit(b *testing.B) {
	audit := []byte(`{"type":"io.nats.jetstream.advisory.v1.api_audit","id":"1",` +
		`"timestamp":"2026-11-29T14:45:55Z","server":"N",` +
		`"client":{"start":"2026-11-29T14:45:54Z","host":"127.0.0.1","id":6,"acc":"$G",` +
		`"name":"\"subject\":\"STREAM.PURGE.KV_b","lang":"go","ver":"1.55.0","rtt":6562503,` +
		`"server":"N","kind":"Client","client_type":"nats"},` +
		`"subject":"$JS.API.STREAM.INFO.KV_b","response":"` + strings.Repeat("x", 900) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if kvclient.IsRemoval(audit) {
			b.Fatal("taken for a removal")
		}
	}
}

// Before the first connection there was nothing to miss. Before every other connection the client
// may have missed advisories, so observers are told of those.
func TestObserverIsToldOfReconnections(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	p := natstest.StartProxy(t, s.Addr())
	p.Refuse(true) // The observer must be there before the connection.
	c := connectUnready(t, kvclient.Options{URL: p.URL(), Logger: zerolog.Nop()})
	told := make(chan struct{}, 100)
	c.Observe(func(a kvclient.Advisory) {
		if a.Kind == kvclient.Reconnected {
			told <- struct{}{}
		}
	})
	p.Refuse(false)
	awaitReady(t, c)
	p.Cut()
	<-told
	awaitReady(t, c)
	if n := len(told); n != 0 {
		t.Errorf("%d more were told beside that of the cut", n)
	}
}
