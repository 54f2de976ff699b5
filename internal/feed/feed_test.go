package feed_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/feed"
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
	options.Logger = zerolog.Nop()
	at.Name, at.Logger = "test", options.Logger
	client, err := kvclient.Connect(at)
	if err != nil {
		t.Fatal(err)
	}
	hub := feed.NewHub(client, options)
	t.Cleanup(func() {
		hub.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		client.Close(ctx)
	})
	natstest.Eventually(t, patience, "the client is ready", func() bool {
		return client.Ready(t.Context()) == nil
	})
	return &lab{server: server, client: client, hub: hub, js: server.JetStream(t)}
}

func (l *lab) bucket(t *testing.T, config jetstream.KeyValueConfig) jetstream.KeyValue {
	t.Helper()
	native, err := l.js.CreateKeyValue(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return native
}

func put(t *testing.T, native jetstream.KeyValue, key, value string) kv.Revision {
	t.Helper()
	revision, err := native.PutString(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return kv.Revision(revision)
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
	// last is the revision of the last change since the last reset.
	last kv.Revision
	// stale: the source is lost, by the last event about it.
	stale bool
}

func newWatcher(t *testing.T) *watcher {
	return &watcher{t: t, wake: make(chan struct{}, 1), state: make(map[string]string),
		ends: make(map[string]time.Time)}
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
		p, exact, ok := w.Bookmark()
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

func TestSnapshotIsFollowedByLiveChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 3})
	put(t, native, "a.1", "x")
	put(t, native, "b.1", "x")
	put(t, native, "a.1", "y")
	w := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "a.*")})
	sync := w.untilKind(feed.Synced)
	if sync.Keys != 1 || !sync.Exact || sync.Point.Revision != 3 {
		t.Errorf("synced %+v", sync)
	}
	w.wantState(map[string]string{"a.1": "y"})
	put(t, native, "b.2", "z")
	last := put(t, native, "a.2", "z")
	w.untilRevision(last)
	if err := native.Delete(t.Context(), "a.1"); err != nil {
		t.Fatal(err)
	}
	w.untilExact(last + 1)
	w.wantState(map[string]string{"a.2": "z"})
}

func TestResumeSendsOnlyWhatCameSince(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point := w.untilKind(feed.Synced).Point
	w.Close()
	put(t, native, "a", "2")
	last := put(t, native, "c", "3")
	w = l.watch(t, "b", feed.SubscribeOptions{Resume: &point})
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"a": "2", "c": "3"})
	for name, tc := range map[string]struct {
		position kv.Position
		reason   string
	}{
		"epoch": {kv.Position{Epoch: "abc", Revision: 1}, feed.ReasonEpoch},
		"ahead": {kv.Position{Epoch: point.Epoch, Revision: last + 1}, feed.ReasonAhead},
		"bare":  {kv.Position{Revision: 1}, feed.ReasonUnknownID},
	} {
		w := l.watch(t, "b", feed.SubscribeOptions{Resume: &feed.Point{Position: tc.position}})
		if e := w.untilKind(feed.Reset); e.Reason != tc.reason {
			t.Errorf("%s: reset for %s", name, e.Reason)
		}
		w.untilKind(feed.Synced)
		w.wantState(map[string]string{"a": "2", "c": "3"})
	}
}

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

func TestSourceComesBackAfterALoss(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", History: 5})
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	w.untilExact(1)
	l.server.Stop()
	w.untilKind(feed.Stale)
	l.server.Restart()
	w.untilKind(feed.Live)
	natstest.Eventually(t, patience, "a put", func() bool {
		_, err := native.PutString(t.Context(), "a", "2")
		return err == nil
	})
	w.untilExact(2)
	w.wantState(map[string]string{"a": "2"})
}

// Removals without a trace in the stream are a reset, but markers that were delivered may go. A
// sweep of markers takes a while, and its advisories come one for each: if the stream is counted
// in between, messages are missing whose purge is reported a moment later.
func TestSweepOfDeliveredMarkersIsNoReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	const markers = 400
	for i := range markers {
		put(t, native, fmt.Sprintf("k%d", i), "1")
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	for i := range markers {
		if err := native.Delete(t.Context(), fmt.Sprintf("k%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	w.untilRevision(2 * markers)
	if err := native.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	w.untilRevision(put(t, native, "c", "1"))
	w.pollFor(300 * time.Millisecond)
	for _, e := range w.told {
		if e.Kind == feed.Reset {
			t.Fatal("reset for ", e.Reason)
		}
	}
}

func TestPurgeOfAValueIsAReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	put(t, native, "b", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	if err := native.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	w.untilRevision(3)
	if err := native.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	last := put(t, native, "c", "1")
	w.untilRevision(last)
	for _, e := range w.told {
		if e.Kind == feed.Reset {
			t.Error("reset after the purge of a delivered marker")
		}
	}
	stream, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b.b")); err != nil {
		t.Fatal(err)
	}
	if e := w.untilKind(feed.Reset); e.Reason != feed.ReasonPurged {
		t.Errorf("reset for %s", e.Reason)
	}
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"c": "1"})
}

// A subscription that the log has left behind reads on from the store, also where the store
// forgets markers at their time.
func TestSubscriptionBehindTheLogReadsFromTheStore(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]jetstream.KeyValueConfig{
		"overwritten":      {Bucket: "b"},
		"history":          {Bucket: "b", History: 2},
		"limit_marker_ttl": {Bucket: "b", LimitMarkerTTL: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, feed.Options{LogChanges: 10})
			testBehindTheLog(t, l, l.bucket(t, config))
		})
	}
}

func testBehindTheLog(t *testing.T, l *lab, native jetstream.KeyValue) {
	put(t, native, "a", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	want := map[string]string{"a": "1"}
	var last kv.Revision
	for i := range 500 {
		k := fmt.Sprintf("k%d", i%100)
		last = put(t, native, k, fmt.Sprint(i))
		want[k] = fmt.Sprint(i)
	}
	w.untilRevision(last)
	w.untilExact(last)
	w.wantState(want)
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			t.Errorf("reset for %s", reason)
		}
	})
}

// Values that are larger than what a reading may be ahead come one after the other, and not each
// after a timeout.
func TestLargeValuesAreReadWithoutTimeouts(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	for i := range 5 {
		put(t, native, fmt.Sprintf("k%d", i), strings.Repeat("x", 900_000))
	}
	w := l.watch(t, "b", feed.SubscribeOptions{})
	w.untilKind(feed.Synced)
	if n := l.hub.Stats().Snapshots.Load(); n != 1 || len(w.state) != 5 {
		t.Errorf("%d keys after %d readings, want 5 after one", len(w.state), n)
	}
}

// A purge leaves the revision as it is, so that an id can be from before it. A client that was
// away at the purge is reset, however it came by its id.
func TestResumeAtTheRevisionOfAPurgeIsReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	put(t, native, "b", "1")
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point, stamp := w.untilKind(feed.Synced).Point, w.Stamp()
	w.Close()
	stays := l.watch(t, "b", feed.SubscribeOptions{})
	stays.untilKind(feed.Synced)
	stream, err := l.js.Stream(t.Context(), "KV_b")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.b.a")); err != nil {
		t.Fatal(err)
	}
	stays.untilKind(feed.Reset)
	w = l.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	w.untilKind(feed.Reset)
	w.untilKind(feed.Synced)
	w.wantState(map[string]string{"b": "1"})
}

// A client that was given a point by this feed may come back with it, even if nothing was written
// since the feed began.
func TestResumeWhereTheFeedBeganIsNoReset(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	put(t, native, "a", "1")
	put(t, native, "a", "2") // the first one is gone, so the stream proves nothing
	w := l.watch(t, "b", feed.SubscribeOptions{})
	point, stamp := w.untilKind(feed.Synced).Point, w.Stamp()
	w.Close()
	last := put(t, native, "b", "1")
	w = l.watch(t, "b", feed.SubscribeOptions{Resume: &point, Stamp: stamp})
	w.untilExact(last)
	w.wantState(map[string]string{"b": "1"}) // only what came since then
	l.hub.Stats().EachReset(func(reason string, n uint64) {
		if n > 0 {
			t.Errorf("reset for %s", reason)
		}
	})
}

// A client that stops in the middle of a snapshot keeps nobody else from theirs, however few are
// read at once.
func TestStoppedReadersHoldNoPlace(t *testing.T) {
	t.Parallel()
	l := newLab(t, feed.Options{Snapshots: 1})
	native := l.bucket(t, jetstream.KeyValueConfig{Bucket: "b"})
	for i := range 10 {
		put(t, native, fmt.Sprintf("large.%d", i), strings.Repeat("x", 900_000))
	}
	put(t, native, "small", "1")
	stopped := l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "large.*")})
	natstest.Eventually(t, patience, "the first entry of the snapshot", func() bool {
		events, _ := stopped.Poll(nil, 1)
		return len(events) > 0
	})
	l.watch(t, "b", feed.SubscribeOptions{Filters: filters(t, "small")}).untilKind(feed.Synced)
	if n := l.hub.Stats().Snapshots.Load(); n != 1 {
		t.Errorf("%d readings had ended when the second snapshot was there, want only its own", n)
	}
}
