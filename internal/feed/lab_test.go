package feed_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"kvgateway/internal/feed"
	"kvgateway/internal/feed/feedtest"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
	"kvgateway/internal/natstest"
)

// patience is how long tests wait for something that must happen.
const patience = 20 * time.Second

// A lab is a hub on a nats-server of its own, and a native client of that server.
type lab struct {
	server *natstest.Server
	client *kvclient.Client
	hub    *feed.Hub
	js     jetstream.JetStream
}

// newLab starts a server, and a hub that is connected to it.
func newLab(t *testing.T, options feed.Options) *lab {
	t.Helper()
	server := natstest.Start(t, natstest.Options{})
	return newLabAt(t, server, server.URL(), options)
}

// newLabAt starts a hub that is connected to the server by a URL, which may be that of a proxy.
func newLabAt(t *testing.T, server *natstest.Server, url string, options feed.Options) *lab {
	t.Helper()
	return newLabWith(t, server, kvclient.Options{URL: url}, options)
}

// newLabWith starts a hub whose client is connected with those options.
func newLabWith(
	t *testing.T, server *natstest.Server, at kvclient.Options, options feed.Options,
) *lab {
	t.Helper()
	client, hub := feedtest.Start(t, at, options)
	return &lab{server: server, client: client, hub: hub, js: server.JetStream(t)}
}

func (l *lab) bucket(t *testing.T, config jetstream.KeyValueConfig) jetstream.KeyValue {
	t.Helper()
	return natstest.CreateBucket(t, l.js, config)
}

// bucketOnStream makes the bucket b on a stream of that configuration.
func (l *lab) bucketOnStream(t *testing.T, config jetstream.StreamConfig) (
	jetstream.Stream, jetstream.KeyValue,
) {
	t.Helper()
	stream, err := l.js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	native, err := l.js.KeyValue(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	return stream, native
}

// purgeKey removes a key's messages, as other tools do.
func (l *lab) purgeKey(t *testing.T, key string) {
	t.Helper()
	stream, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b."+key)); err != nil {
		t.Fatal(err)
	}
}

// putTTL stores a value with a time to live.
func (l *lab) putTTL(t *testing.T, key, value, ttl string) {
	t.Helper()
	msg := &nats.Msg{
		Subject: "$KV.b." + key, Data: []byte(value), Header: nats.Header{"Nats-TTL": {ttl}},
	}
	if _, err := l.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, native jetstream.KeyValue, key, value string) kv.Revision {
	t.Helper()
	revision, err := native.PutString(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return kv.Revision(revision)
}

func filters(t *testing.T, patterns ...string) (fs kv.Filters) {
	t.Helper()
	for _, pattern := range patterns {
		f, err := kv.ParseFilter(pattern)
		if err != nil {
			t.Fatal(err)
		}
		fs = append(fs, f)
	}
	return fs
}

func bucketName(t *testing.T, s string) kv.BucketName {
	t.Helper()
	name, err := kv.ParseBucketName(s)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func (l *lab) watch(t *testing.T, bucket string, options feed.SubscribeOptions) *watcher {
	t.Helper()
	name, err := kv.ParseBucketName(bucket)
	if err != nil {
		t.Fatal(err)
	}
	w := newWatcher(t)
	w.Subscription, err = l.hub.Subscribe(t.Context(), name, options, feed.WakeByToken(w.wake))
	if err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	t.Cleanup(w.Close)
	return w
}

// resume subscribes at a point.
func (l *lab) resume(t *testing.T, bucket string, point *feed.Point) *watcher {
	t.Helper()
	return l.watch(t, bucket, feed.SubscribeOptions{Resume: point})
}

// beginAB returns a bucket in which a and b have values, and a watcher that has folded them.
func (l *lab) beginAB(t *testing.T) (jetstream.KeyValue, *watcher) {
	t.Helper()
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilExact(put(t, native, "b", "2"))
	w.awaitOldTally()
	return native, w
}

// A watcher collects what a subscription sends, and folds it.
type watcher struct {
	*feed.Subscription
	t *testing.T
	// wake has a token when the subscription has woken the watcher.
	wake chan struct{}
	// told has the events that until has not looked at.
	told []feed.Event
	// state is what was folded.
	state map[string]string
	// staged has what comes between a reset and Synced; nil at other times.
	staged map[string]string
	// ends says when a value vanishes, as it was reported last.
	ends map[string]time.Time
	// revisions has the revision of each key's last change.
	revisions map[string]kv.Revision
	// last is the revision of the last change since the last reset.
	last kv.Revision
	// stale: the source is lost, by the last event about it.
	stale bool
}

func newWatcher(t *testing.T) *watcher {
	return &watcher{t: t, wake: make(chan struct{}, 1), state: make(map[string]string),
		ends: make(map[string]time.Time), revisions: make(map[string]kv.Revision)}
}

// until polls until an event fits, and returns it.
func (w *watcher) until(what string, fits func(feed.Event) bool) feed.Event {
	w.t.Helper()
	deadline := time.After(patience)
	for seen := len(w.told); ; {
		for ; seen < len(w.told); seen++ {
			if fits(w.told[seen]) {
				e := w.told[seen]
				w.told = w.told[seen+1:]
				return e
			}
		}
		events, _ := w.Poll(nil, 100)
		for _, e := range events {
			w.fold(e)
		}
		if w.told = append(w.told, events...); len(events) > 0 {
			continue
		}
		select {
		case <-w.wake:
		case <-deadline:
			w.t.Fatalf("%s did not come; told %s", what, describe(w.told))
		}
	}
}

// fold folds an event. Revisions must rise between resets.
func (w *watcher) fold(e feed.Event) {
	w.t.Helper()
	switch e.Kind {
	case feed.Reset:
		w.staged, w.last = make(map[string]string), 0
	case feed.Removed:
		for _, r := range e.Removed {
			if w.revisions[r.Key] <= r.Revision {
				delete(w.state, r.Key)
				delete(w.staged, r.Key)
			}
		}
	case feed.Stale, feed.Live:
		w.stale = e.Kind == feed.Stale
	case feed.BucketDeleted:
		clear(w.state)
	case feed.Synced:
		if w.staged != nil {
			w.state, w.staged = w.staged, nil
		}
	case feed.Changed:
		if e.Change.Revision <= w.last {
			w.t.Errorf("revision %d came after %d", e.Change.Revision, w.last)
		}
		w.last = e.Change.Revision
		w.revisions[e.Change.Key] = e.Change.Revision
		into := w.state
		if w.staged != nil {
			into = w.staged
		}
		if e.Change.IsMarker() {
			delete(into, e.Change.Key)
		} else {
			into[e.Change.Key] = string(e.Change.Value)
			w.ends[string(e.Change.Value)] = e.Change.Expires
		}
	}
}

func (w *watcher) untilKind(kind feed.Kind) feed.Event {
	w.t.Helper()
	return w.until(fmt.Sprintf("kind %d", kind), func(e feed.Event) bool { return e.Kind == kind })
}

func (w *watcher) untilRevision(r kv.Revision) feed.Event {
	w.t.Helper()
	return w.until(fmt.Sprintf("revision %d", r), func(e feed.Event) bool {
		return e.Kind == feed.Changed && e.Change.Revision == r
	})
}

// untilExact waits for a bookmark that is exact, at that revision or above it.
func (w *watcher) untilExact(at kv.Revision) feed.Point {
	w.t.Helper()
	var point feed.Point
	natstest.Eventually(w.t, patience, "an exact bookmark", func() bool {
		events, _ := w.Poll(nil, 100)
		for _, e := range events {
			w.fold(e)
			w.told = append(w.told, e)
		}
		p, exact, _, ok := w.Bookmark()
		point = p
		return ok && exact && p.Revision >= at
	})
	return point
}

func describe(events []feed.Event) string {
	text := ""
	for _, e := range events {
		text += fmt.Sprintf("%d", e.Kind)
		if e.Change != nil {
			text += fmt.Sprintf("(%s@%d)", e.Change.Key, e.Change.Revision)
		}
		text += e.Reason + " "
	}
	return text
}

func (w *watcher) wantState(state map[string]string) {
	w.t.Helper()
	if fmt.Sprint(w.state) != fmt.Sprint(state) {
		w.t.Errorf("folded %v, want %v", w.state, state)
	}
}

// untilHolds waits until that state has been folded, and is called exact.
func (w *watcher) untilHolds(state map[string]string) {
	w.t.Helper()
	defer func() {
		if w.t.Failed() {
			w.t.Logf("folded %.200s, want %.200s; told %.200s",
				fmt.Sprint(w.state), fmt.Sprint(state), describe(w.told))
		}
	}()
	natstest.Eventually(w.t, patience, "the right state, called exact", func() bool {
		events, _ := w.Poll(nil, 1000)
		for _, e := range events {
			w.fold(e)
			w.told = append(w.told, e)
		}
		_, exact, _, ok := w.Bookmark()
		return ok && exact && maps.Equal(w.state, state)
	})
}

// awaitOldTally waits until a tally of the feed is old enough to be used.
func (w *watcher) awaitOldTally() {
	w.t.Helper()
	natstest.Holds(w.t, 1500*time.Millisecond, "nothing is told", func() bool {
		events, _ := w.Poll(nil, 100)
		return len(events) == 0
	})
}

// pollFor polls for some time.
func (w *watcher) pollFor(during time.Duration) {
	w.t.Helper()
	natstest.Holds(w.t, during, "it polls", func() bool { w.pollAll(); return true })
}

// pollAll polls once and folds what comes.
func (w *watcher) pollAll() {
	events, _ := w.Poll(nil, 1000)
	for _, e := range events {
		w.fold(e)
		w.told = append(w.told, e)
	}
}

// untilStored waits until the watcher holds what the store has, and that is called exact.
func (w *watcher) untilStored(native jetstream.KeyValue) {
	w.t.Helper()
	var held, stored map[string]string
	defer func() {
		if w.t.Failed() {
			w.t.Logf("holds %v, stored is %v; told %s", held, stored, describe(w.told))
		}
	}()
	natstest.Eventually(w.t, patience, "what is held is what is stored", func() bool {
		w.pollAll()
		_, exact, _, ok := w.Bookmark()
		held, stored = w.unexpired(), storedIn(w.t, native)
		return ok && exact && maps.Equal(held, stored)
	})
}

// unexpired returns what was folded, without the entries whose end has come.
func (w *watcher) unexpired() map[string]string {
	held := maps.Clone(w.state)
	maps.DeleteFunc(held, func(_, value string) bool {
		end := w.ends[value]
		return !end.IsZero() && time.Now().After(end)
	})
	return held
}

// storedIn reads all values of a bucket natively.
func storedIn(t *testing.T, native jetstream.KeyValue) map[string]string {
	t.Helper()
	values := make(map[string]string)
	watch, err := native.WatchAll(t.Context(), jetstream.IgnoreDeletes())
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
