package feed_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

func TestBucketCreatedAgainIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	if err := l.js.DeleteKeyValue(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	w.untilKind(feed.BucketDeleted)
	if w.stale {
		t.Error("told Stale, and not Live before BucketDeleted")
	}
	w.wantState(nil)
	native = l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "c", "1")
	if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonEpoch {
		t.Errorf("reset for %s", e.Reason)
	}
	w.untilExact(1)
	w.wantState(map[string]string{"c": "1"})
}

// A configChange changes one setting of a bucket that is watched, by patch or by native.
type configChange struct {
	// from is the bucket's configuration before.
	from jetstream.KeyValueConfig
	// prepare makes settings that the KV API does not know; nil for none.
	prepare func(*jetstream.StreamConfig)
	// patch is what the gateway applies.
	patch string
	// native is what another tool does.
	native func(*jetstream.StreamConfig)
	// reset: what was reported before is void.
	reset bool
	// inexact: no position is exact from then on.
	inexact bool
}

// configChanges has a change of every setting.
var configChanges = map[string]configChange{
	"description":    {patch: `{"description":"x"}`},
	"max_value_size": {patch: `{"max_value_size":1024}`},
	"history raised": {
		from:  jetstream.KeyValueConfig{History: 2},
		patch: `{"history":5}`,
	},
	"history lowered": {
		from:  jetstream.KeyValueConfig{History: 5},
		patch: `{"history":1}`,
	},
	"ttl set": {patch: `{"ttl":"2s"}`, reset: true},
	"ttl raised": {
		from:  jetstream.KeyValueConfig{TTL: 2 * time.Second},
		patch: `{"ttl":"1h"}`,
		reset: true,
	},
	"ttl lowered": {
		from:  jetstream.KeyValueConfig{TTL: time.Hour},
		patch: `{"ttl":"2s"}`,
		reset: true,
	},
	"ttl removed": {
		from:  jetstream.KeyValueConfig{TTL: 2 * time.Second},
		patch: `{"ttl":"0s"}`,
		reset: true,
	},
	"max_bytes":            {patch: `{"max_bytes":1000000}`},
	"max_bytes below":      {patch: `{"max_bytes":1}`},
	"replicas":             {patch: `{"num_replicas":1,"description":"as before"}`},
	"republish":            {patch: `{"republish":{"src":">","dest":"copy.>"}}`},
	"compression":          {patch: `{"compression":true}`},
	"limit_marker_ttl set": {patch: `{"limit_marker_ttl":"1s"}`, reset: true},
	"limit_marker_ttl raised": {
		from:  jetstream.KeyValueConfig{LimitMarkerTTL: time.Second},
		patch: `{"limit_marker_ttl":"1m"}`,
		reset: true,
	},
	"limit_marker_ttl and ttl": {
		from:  jetstream.KeyValueConfig{LimitMarkerTTL: time.Second, History: 3},
		patch: `{"ttl":"2s"}`,
		reset: true,
	},
	"limit_marker_ttl removed": {
		from:  jetstream.KeyValueConfig{LimitMarkerTTL: time.Minute},
		patch: `{"limit_marker_ttl":"0s"}`,
		reset: true,
	},
	"metadata":       {patch: `{"metadata":{"a":"b"}}`},
	"allow_atomic":   {patch: `{"allow_atomic":true}`},
	"placement tags": {patch: `{"metadata":{"a":"c"},"description":"y"}`},
	"max_age by another tool": {
		native: func(c *jetstream.StreamConfig) {
			c.MaxAge, c.Duplicates = 2*time.Second, time.Second
		},
		reset: true,
	},
	"allow_msg_ttl": {
		native: func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true },
		reset:  true,
	},
	"discard old, no bound": {
		native: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
	},
	"discard old": {
		native: func(c *jetstream.StreamConfig) {
			c.Discard, c.MaxMsgs = jetstream.DiscardOld, 2
		},
		inexact: true,
	},
	"discard new again": {
		prepare: func(c *jetstream.StreamConfig) {
			c.Discard, c.MaxMsgs = jetstream.DiscardOld, 2
		},
		native: func(c *jetstream.StreamConfig) {
			c.Discard, c.MaxMsgs = jetstream.DiscardNew, -1
		},
		reset: true,
	},
	"max_msgs below": {native: func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }},
	"max_msgs_per_subject": {
		from:   jetstream.KeyValueConfig{History: 9},
		native: func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 },
	},
	"deny_purge": {
		native: func(c *jetstream.StreamConfig) { c.DenyPurge, c.AllowRollup = true, false },
	},
	"allow_rollup_hdrs": {native: func(c *jetstream.StreamConfig) { c.AllowRollup = false }},
	"allow_direct":      {native: func(c *jetstream.StreamConfig) { c.AllowDirect = false }},
	"mirror_direct":     {native: func(c *jetstream.StreamConfig) { c.MirrorDirect = true }},
	"duplicate_window": {
		native: func(c *jetstream.StreamConfig) { c.Duplicates = time.Second },
	},
	"no_ack": {native: func(c *jetstream.StreamConfig) { c.NoAck = true }},
	"interest retention": {
		native:  func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		inexact: true,
	},
}

// What a watcher has folded, without the entries whose reported end has come, is what the store
// has, also after a change of the bucket's configuration: whoever made it, and whether or not the
// feed was told of it. Each case waits for 3 s, so -short has only those that matter most.
func TestConfigurationChangeIsAResetWhereEndsChange(t *testing.T) {
	t.Parallel()
	for name, change := range configChanges {
		for _, how := range []string{"told", "not told", "away"} {
			if how != "told" && (!change.reset || testing.Short()) {
				continue
			}
			if testing.Short() && !change.reset && !change.inexact {
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
	l := newLabAt(t, server, proxy.URL(), feed.Options{})
	change.from.Bucket = "b"
	native := l.bucket(t, change.from)
	if change.prepare != nil {
		l.reconfigure(t, change.prepare)
	}
	put(t, native, "a", "1")
	put(t, native, "b", "2")
	put(t, native, "b", "3")
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
		// If the feed is reset twice before the watcher polls, the later reason is given. After a
		// loss that can be another one, since the connections may come back at different times.
		if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonConfig && how != "away" {
			t.Errorf("reset for %s", e.Reason)
		}
	}
	w.pollFor(3 * time.Second) // what has an end vanishes meanwhile
	if change.inexact {
		if _, exact, _, _ := w.Bookmark(); exact {
			t.Error("exact, though messages vanish without a word")
		}
		return
	}
	w.untilStored(native)
	resets := 0
	for _, e := range w.told {
		if e.Kind == feed.Reset {
			resets++
		}
	}
	if resets > 0 && how != "away" {
		t.Errorf("%d more resets", resets)
	}
}

// apply makes the change, through the gateway's client or as another tool does. While the
// gateway's connections are away, another gateway makes it.
func (l *lab) apply(t *testing.T, change configChange, away bool) {
	t.Helper()
	if change.native != nil {
		l.reconfigure(t, change.native)
		return
	}
	client := l.client
	if away {
		client = newLabAt(t, l.server, l.server.URL(), feed.Options{}).client
	}
	name, _ := kv.ParseBucketName("b")
	if _, err := client.UpdateBucket(t.Context(), name, []byte(change.patch)); err != nil {
		t.Fatal(err)
	}
}

// reconfigure changes the configuration of the stream of the bucket b, as another tool does.
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

// A stream that discards its oldest messages, as buckets of old clients do, tells nobody which
// ones: no position is called exact.
func TestStreamThatDiscardsTheOldestIsNeverExact(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	_, native := l.bucketOnStream(t, jetstream.StreamConfig{
		Name: "KV_b", Subjects: []string{"$KV.b.>"}, MaxMsgsPerSubject: 1,
		MaxMsgs: 2, Discard: jetstream.DiscardOld, AllowDirect: true, AllowRollup: true,
	})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	put(t, native, "b", "2")
	w.untilRevision(put(t, native, "c", "3"))
	natstest.Holds(t, time.Second, "nothing is exact", func() bool {
		_, exact, _, _ := w.Bookmark()
		return !exact
	})
}

// A stream can be told to discard its oldest messages and, before anybody asks, not to. The counts
// do not show what is gone by then if new keys make up for it.
func TestDiscardForAMomentIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	kv := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 1})
	for i := range 5 {
		put(t, kv, fmt.Sprint("old", i), "v")
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	s, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	before := s.CachedInfo().Config
	narrow := before
	narrow.Discard, narrow.MaxMsgs = jetstream.DiscardOld, 2
	nc := l.server.Conn(t)
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range []jetstream.StreamConfig{narrow, before} {
		body, _ := json.Marshal(config)
		err := nc.PublishRequest("$JS.API.STREAM.UPDATE.KV_b", answers.Subject, body)
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		answer, err := answers.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(answer.Data), `"error"`) {
			t.Fatalf("update: %s", answer.Data)
		}
	}
	for i := range 5 {
		put(t, kv, fmt.Sprint("new", i), "v")
	}
	w.untilKind(feed.Reset)
	natstest.Eventually(t, patience, "the bucket's state", func() bool {
		w.pollAll()
		return reflect.DeepEqual(w.unexpired(), storedIn(t, kv))
	})
}

// A schedule removes its own message when it has run for the last time, and no advisory reports it.
func TestBucketWithSchedulesIsNeverExact(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	_, kv := l.bucketOnStream(t, jetstream.StreamConfig{
		Name:              "KV_b",
		Subjects:          []string{"$KV.b.>"},
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardOld,
		AllowRollup:       true,
		AllowDirect:       true,
		AllowMsgSchedules: true,
	})
	put(t, kv, "k", "v")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	if sync := w.untilKind(feed.Synced); sync.Exact {
		t.Error("exact, though a schedule may remove an entry and nothing reports it")
	}
}
