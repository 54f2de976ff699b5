package feed_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// A configChange changes one setting of a bucket that is watched.
type configChange struct {
	from    jetstream.KeyValueConfig
	prepare func(*jetstream.StreamConfig) // settings that the KV API does not know; nil for none
	patch   string                        // that the gateway applies, or
	native  func(*jetstream.StreamConfig) // what another tool does
	reset   bool                          // what was reported is void
	inexact bool                          // from then on nothing is exact
}

var configChanges = map[string]configChange{
	"description":             {patch: `{"description":"x"}`},
	"max_value_size":          {patch: `{"max_value_size":1024}`},
	"history raised":          {from: jetstream.KeyValueConfig{History: 2}, patch: `{"history":5}`},
	"history lowered":         {from: jetstream.KeyValueConfig{History: 5}, patch: `{"history":1}`},
	"ttl set":                 {patch: `{"ttl":"2s"}`, reset: true},
	"ttl raised":              {from: jetstream.KeyValueConfig{TTL: 2 * time.Second}, patch: `{"ttl":"1h"}`, reset: true},
	"ttl lowered":             {from: jetstream.KeyValueConfig{TTL: time.Hour}, patch: `{"ttl":"2s"}`, reset: true},
	"ttl removed":             {from: jetstream.KeyValueConfig{TTL: 2 * time.Second}, patch: `{"ttl":"0s"}`, reset: true},
	"max_bytes":               {patch: `{"max_bytes":1000000}`},
	"max_bytes below":         {patch: `{"max_bytes":1}`},
	"replicas":                {patch: `{"num_replicas":1,"description":"as before"}`},
	"republish":               {patch: `{"republish":{"src":">","dest":"copy.>"}}`},
	"compression":             {patch: `{"compression":true}`},
	"limit_marker_ttl set":    {patch: `{"limit_marker_ttl":"1s"}`, reset: true},
	"limit_marker_ttl raised": {from: jetstream.KeyValueConfig{LimitMarkerTTL: time.Second}, patch: `{"limit_marker_ttl":"1m"}`, reset: true},
	"limit_marker_ttl and ttl": {from: jetstream.KeyValueConfig{LimitMarkerTTL: time.Second, History: 3},
		patch: `{"ttl":"2s"}`, reset: true},
	"limit_marker_ttl removed": {from: jetstream.KeyValueConfig{LimitMarkerTTL: time.Minute}, patch: `{"limit_marker_ttl":"0s"}`, reset: true},
	"metadata":                 {patch: `{"metadata":{"a":"b"}}`},
	"allow_atomic":             {patch: `{"allow_atomic":true}`},
	"placement tags":           {patch: `{"metadata":{"a":"c"},"description":"y"}`},
	"max_age by another tool": {reset: true, native: func(c *jetstream.StreamConfig) {
		c.MaxAge, c.Duplicates = 2*time.Second, time.Second
	}},
	"allow_msg_ttl":         {native: func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }, reset: true},
	"discard old, no bound": {native: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }},
	"discard old": {inexact: true, native: func(c *jetstream.StreamConfig) {
		c.Discard, c.MaxMsgs = jetstream.DiscardOld, 2
	}},
	"discard new again": {reset: true,
		prepare: func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 2 },
		native:  func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardNew, -1 }},
	"max_msgs below":       {native: func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }},
	"max_msgs_per_subject": {from: jetstream.KeyValueConfig{History: 9}, native: func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }},
	"deny_purge":           {native: func(c *jetstream.StreamConfig) { c.DenyPurge, c.AllowRollup = true, false }},
	"allow_rollup_hdrs":    {native: func(c *jetstream.StreamConfig) { c.AllowRollup = false }},
	"allow_direct":         {native: func(c *jetstream.StreamConfig) { c.AllowDirect = false }},
	"mirror_direct":        {native: func(c *jetstream.StreamConfig) { c.MirrorDirect = true }},
	"duplicate_window":     {native: func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }},
	"no_ack":               {native: func(c *jetstream.StreamConfig) { c.NoAck = true }},
	"interest retention":   {inexact: true, native: func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }},
}

// A stream that watched while its bucket's configuration changed, folded, with what has an end
// dropped then, is what the store has; whoever changed it, and whether the feed was told.
func TestConfigurationChangeIsAResetWhereEndsChange(t *testing.T) {
	t.Parallel()
	for name, change := range configChanges {
		for _, how := range []string{"told", "not told", "away"} {
			if how != "told" && !change.reset {
				continue
			}
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				testConfigChange(t, change, how)
			})
		}
	}
}

func testConfigChange(t *testing.T, change configChange, how string) {
	server := natstest.Start(t, natstest.Options{})
	proxy := natstest.StartProxy(t, server.Addr())
	l := startAt(t, server, proxy.URL(), feed.Options{})
	change.from.Bucket = "b"
	kv := l.bucket(t, change.from)
	if change.prepare != nil {
		l.reconfigure(t, change.prepare)
	}
	put(t, kv, "a", "1")
	put(t, kv, "b", "2")
	put(t, kv, "b", "3")
	if change.from.LimitMarkerTTL > 0 {
		l.putTTL(t, "t", "4", "2s")
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	switch how {
	case "not told":
		l.client.Observe(func(kvclient.Advisory) {})
	case "away":
		proxy.Refuse(true)
		proxy.Cut()
		w.untilKind(feed.Stale)
	}
	l.apply(t, change, how == "away")
	proxy.Refuse(false)
	if change.reset {
		// The last reset before the client hears of it gives the reason, and the connections may come
		// back at different times.
		if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonConfig && how != "away" {
			t.Errorf("reset for %s", e.Reason)
		}
	}
	w.follows(3 * time.Second) // what is to vanish does
	if change.inexact {
		if _, exact, _ := w.Bookmark(); exact {
			t.Error("exact, though messages vanish without a word")
		}
		return
	}
	w.untilStored(kv)
	resets := 0
	for _, e := range w.told {
		if e.Kind == feed.Reset {
			resets++
		}
	}
	if resets > 0 && how != "away" {
		t.Errorf("%d resets more", resets)
	}
}

// apply changes the bucket through the gateway's client or as another tool does.
func (l *lab) apply(t *testing.T, change configChange, away bool) {
	t.Helper()
	if change.native != nil {
		l.reconfigure(t, change.native)
		return
	}
	client := l.client
	if away { // another gateway
		client = startAt(t, l.server, l.server.URL(), feed.Options{}).client
	}
	name, _ := kvclient.ParseBucketName("b")
	if _, err := client.UpdateBucket(t.Context(), name, []byte(change.patch)); err != nil {
		t.Fatal(err)
	}
}

func (l *lab) reconfigure(t *testing.T, change func(*jetstream.StreamConfig)) {
	t.Helper()
	stream, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	change(&config)
	if _, err := l.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// putTTL stores a value with a time to live.
func (l *lab) putTTL(t *testing.T, key, value, ttl string) {
	t.Helper()
	msg := &nats.Msg{Subject: "$KV.b." + key, Data: []byte(value), Header: nats.Header{"Nats-TTL": {ttl}}}
	if _, err := l.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

// follows takes what comes for some time.
func (w *watcher) follows(during time.Duration) {
	w.t.Helper()
	natstest.Holds(w.t, during, "it follows", func() bool { w.takeAll(); return true })
}

func (w *watcher) takeAll() {
	events, _ := w.Poll(nil, 1000)
	for _, e := range events {
		w.fold(e)
		w.told = append(w.told, e)
	}
}

// untilStored waits until what is held is what the store has, and called exact.
func (w *watcher) untilStored(kv jetstream.KeyValue) {
	w.t.Helper()
	var held, stored map[string]string
	defer func() {
		if w.t.Failed() {
			w.t.Logf("holds %v, stored is %v; told %s", held, stored, describe(w.told))
		}
	}()
	natstest.Eventually(w.t, 5*time.Second, "what is held is what is stored", func() bool {
		w.takeAll()
		_, exact, ok := w.Bookmark()
		held, stored = w.held(), storedIn(w.t, kv)
		return ok && exact && maps.Equal(held, stored)
	})
}

// held is what a client has that drops entries at their end.
func (w *watcher) held() map[string]string {
	held := maps.Clone(w.state)
	maps.DeleteFunc(held, func(_, value string) bool {
		end := w.ends[value]
		return !end.IsZero() && time.Now().After(end)
	})
	return held
}

// storedIn reads all values of a bucket natively.
func storedIn(t *testing.T, kv jetstream.KeyValue) map[string]string {
	t.Helper()
	values := make(map[string]string)
	watch, err := kv.WatchAll(t.Context(), jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Stop() }()
	for {
		select {
		case e := <-watch.Updates():
			if e == nil {
				return values
			}
			values[e.Key()] = string(e.Value())
		case <-time.After(patience):
			t.Fatal("no listing")
		}
	}
}

// A position from before a change of the configuration is not taken, also where nothing was ever
// removed and the revision is the same: what its client holds has another end now.
func TestPointFromBeforeAConfigurationChangeIsReset(t *testing.T) {
	t.Parallel()
	l := start(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", TTL: time.Hour})
	put(t, kv, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point := w.untilExact(1)
	name, _ := kvclient.ParseBucketName("b")
	if _, err := l.client.UpdateBucket(t.Context(), name, []byte(`{"ttl":"0s"}`)); err != nil {
		t.Fatal(err)
	}
	w.untilKind(feed.Reset)
	w.untilExact(1)
	resumed := l.resume(t, "b", &point)
	if e := resumed.untilKind(feed.Reset); e.Reason != feed.ReasonHorizon {
		t.Errorf("reset for %s", e.Reason)
	}
	resumed.untilExact(1)
	if want := map[string]string{"a": "1"}; !maps.Equal(resumed.held(), want) || !resumed.ends["1"].IsZero() {
		t.Errorf("holds %v until %v, want %v for ever", resumed.held(), fmt.Sprint(resumed.ends), want)
	}
}
