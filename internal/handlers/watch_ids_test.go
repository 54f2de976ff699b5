package handlers_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"kvgateway/internal/natstest"
	"kvgateway/internal/sse"
)

// These are the tests of buckets whose history changed: revisions were lost and given out again, or
// the epoch moved although nothing was created anew.

// usingServer lets a gateway use a server other than its own.
func usingServer(s *natstest.Server) func(*setup) {
	return func(u *setup) { u.client.InProcess, u.client.URL = nil, s.URL() }
}

// putEach stores values, given as "key=value", and reads each of them. It retries while the server
// is coming back: writes and reads have connections of their own, which recover separately.
func (g *gateway) putEach(t testing.TB, bucket string, pairs ...string) {
	t.Helper()
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		eventually(t, "store "+pair, func() bool {
			return g.do(t, "PUT", "/buckets/"+bucket+"/keys/"+key, value).status == http.StatusOK
		})
		eventually(t, "read "+pair, func() bool {
			return g.get(t, "/buckets/"+bucket+"/keys/"+key).status == http.StatusOK
		})
	}
}

// watchUntilSync opens a stream and reads it up to the event sync. A stream that is refused for a
// cause that may pass, such as a server that is coming back, is opened again.
func (g *gateway) watchUntilSync(t testing.TB, target string) *eventStream {
	t.Helper()
	w := g.watch(t, target)
	for {
		switch b := w.next(); b.event {
		case "sync":
			return w
		case "problem":
			return g.watchUntilSync(t, target)
		}
	}
}

// idAtSync returns the id of the event sync of a new stream.
func (g *gateway) idAtSync(t testing.TB, target string) (id string) {
	t.Helper()
	w := g.watchUntilSync(t, target)
	w.close()
	return w.lastID
}

// idAtOrAfter returns the first id of a new stream, from its event sync on, that is at the revision
// or behind it.
func (g *gateway) idAtOrAfter(t testing.TB, target string, revision uint64) (id string) {
	t.Helper()
	w := g.watchUntilSync(t, target)
	defer w.close()
	for {
		id, ok := sse.ParseID(w.lastID)
		if !ok {
			t.Fatalf("the id %s cannot be read", w.lastID)
		}
		if uint64(id.Point.Revision) >= revision {
			return w.lastID
		}
		w.next()
	}
}

// resumesWith returns the first event of a stream that is resumed at an id. For a reset it adds the
// reason. A stream that is refused for a cause that may pass is opened again.
func (g *gateway) resumesWith(t testing.TB, target, id string) string {
	t.Helper()
	w := g.watch(t, target, "Last-Event-ID: "+id)
	defer w.close()
	if w.status != http.StatusOK {
		t.Fatalf("status %d for the id %s", w.status, id)
	}
	for {
		b := w.next()
		if b.event == "" && b.data != "" {
			b.event = fmt.Sprint(b.object(t)["event"])
		}
		switch b.event {
		case "stale", "live", "bookmark", "bucket-deleted":
		case "problem":
			return g.resumesWith(t, target, id)
		case "reset":
			return fmt.Sprint("reset ", b.object(t)["reason"])
		default:
			return b.event
		}
	}
}

// byAge names the two gateways that most of these tests compare: the one that has followed the
// bucket all the time, and one that was started after the history had changed.
func byAge(running, fresh *gateway) map[string]*gateway {
	return map[string]*gateway{"that runs": running, "started anew": fresh}
}

// longHistory configures a bucket from which the tests remove nothing. A gateway that knows nothing
// but revisions can vouch for all of them.
const longHistory = `{"history":64}`

func TestLostRevisionsAreNotTakenForThoseThatReplaceThem(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		server := natstest.Start(t, natstest.Options{})
		g := start(t, form, usingServer(server))
		g.do(t, "PUT", "/buckets/b", longHistory, jsonType).is(t, 201)
		g.putEach(t, "b", "a=1", "k=1")
		kept := g.idAtSync(t, "/buckets/b/watch")
		saved := server.Save()
		g.putEach(t, "b", "k=lost", "l=lost", "a=lost")
		w := g.watchUntilSync(t, "/buckets/b/watch")
		lost := w.lastID
		tag := g.get(t, "/buckets/b/keys/k").is(t, 200).tag()
		server.Restore(saved)
		g.putEach(t, "b", "k=theirs", "m=theirs", "a=theirs", "a=more")
		if b := w.until("reset"); b.object(t)["reason"] == "epoch" {
			t.Errorf("the open stream got %v", b)
		}
		other := start(t, form, usingServer(server))
		for name, g := range byAge(g, other) {
			if got := g.resumesWith(t, "/buckets/b/watch", lost); got != "reset horizon" {
				t.Errorf("a gateway %s begins with %s at the id %s of what was lost",
					name, got, lost)
			}
			now := g.get(t, "/buckets/b/keys/k", "If-None-Match: "+tag).is(t, 200).
				hasBody(t, "theirs").tag()
			if unchecked(now) != unchecked(tag) || now == tag {
				t.Fatalf("the key was at %s and is at %s", tag, now)
			}
			g.get(t, "/buckets/b/keys/k", "If-None-Match: "+now).is(t, 304).has(t, "ETag", now)
			g.get(t, "/buckets/b/keys/k", "If-Match: "+tag).problem(t, 412, "revision-mismatch")
			g.get(t, "/buckets/b/keys/k?min_revision="+tag[1:len(tag)-1]).
				problem(t, 409, "epoch-changed")
			g.get(t, "/buckets/b/keys/k", "KV-Min-Revision: "+now).is(t, 200)
			g.get(t, "/buckets/b/keys/k", "Range: bytes=0-0", "If-Range: "+tag).is(t, 200)
			g.get(t, "/buckets/b/keys/k", "Range: bytes=0-0", "If-Range: "+now).is(t, 206)
			for _, method := range []string{"PUT", "DELETE"} {
				g.do(t, method, "/buckets/b/keys/k", "", "If-Match: "+tag).is(t, 412).
					has(t, "ETag", now)
			}
			g.do(t, "PATCH", "/buckets/b/keys/k", "{}", mergeType, "If-Match: "+tag).is(t, 412)
			g.get(t, "/buckets/b/keys/k").hasBody(t, "theirs")
		}
		if got := other.resumesWith(t, "/buckets/b/watch", kept); got != "put" {
			t.Errorf("the id %s of what was kept begins with %s", kept, got)
		}
	})
}

func TestMovedEpochChangesNothing(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		server := natstest.Start(t, natstest.Options{})
		g := start(t, form, usingServer(server))
		g.do(t, "PUT", "/buckets/b", longHistory, jsonType).is(t, 201)
		g.putEach(t, "b", "a=1", "k=1")
		early := g.idAtSync(t, "/buckets/b/watch")
		g.putEach(t, "b", "a=2")
		tag := g.get(t, "/buckets/b/keys/k").is(t, 200).tag()
		w := g.watch(t, "/buckets/b/watch?heartbeat=1s&bookmarks=event")
		epoch := w.until("put").object(t)["epoch"]
		w.until("sync")
		// What was counted a moment before a loss may lack a removal that was not reported yet, so
		// some heartbeats pass first.
		for range 3 {
			w.until("bookmark")
		}
		server.MoveCreated()
		g.putEach(t, "b", "after=1")
		var b block
		for b = w.next(); b.event != "put"; b = w.next() {
			if b.event == "reset" {
				t.Fatalf("the open stream got %v", b)
			}
		}
		moved := b.object(t)["epoch"]
		if moved == epoch {
			t.Fatalf("the epoch is %v still", epoch)
		}
		other := start(t, form, usingServer(server))
		for name, g := range byAge(g, other) {
			for _, id := range []string{early, w.lastID} {
				want := "put"
				if id == w.lastID {
					want = "sync"
				}
				if got := g.resumesWith(t, "/buckets/b/watch", id); got != want {
					t.Errorf("a gateway %s begins with %s at the id %s, want %s",
						name, got, id, want)
				}
			}
			now := g.get(t, "/buckets/b/keys/k", "If-None-Match: "+tag).is(t, 304).tag()
			if now == tag || !strings.Contains(now, fmt.Sprint(moved)) {
				t.Errorf("the tag was %s and is %s, the epoch is %v", tag, now, moved)
			}
			g.get(t, "/buckets/b/keys/k?min_revision="+tag[1:len(tag)-1]).is(t, 200)
			g.get(t, "/buckets/b/keys/k", "If-None-Match: "+unchecked(tag)).is(t, 200)
			g.do(t, "PUT", "/buckets/b/keys/k", "", "If-Match: "+unchecked(tag)).
				problem(t, 412, "revision-mismatch")
		}
		g.do(t, "PUT", "/buckets/b/keys/k", "2", "If-Match: "+tag).is(t, 200)
		// A bucket that was created again is another one, whatever it holds.
		g.do(t, "DELETE", "/buckets/b", "").is(t, 204)
		g.do(t, "PUT", "/buckets/b", longHistory, jsonType).is(t, 201)
		g.putEach(t, "b", "a=1", "k=1", "a=2", "after=1", "k=2", "a=3")
		for name, g := range byAge(g, other) {
			if got := g.resumesWith(t, "/buckets/b/watch", early); got != "reset epoch" {
				t.Errorf("a gateway %s begins with %s at an id of the deleted bucket", name, got)
			}
		}
	})
}

func TestIDOfOtherContentIsReset(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		put(t, g.shop(t), "a.1", "1")
		put(t, g.shopNamed(t, "config"), "x", "1")
		const same, reset = "sync", "reset filters"
		for _, row := range []struct{ first, then, want string }{
			{"filter=a.%3E", "filter=%3E", reset},
			{"filter=%3E", "filter=a.%3E", reset},
			{"", "filter=%3E", same},
			{"filter=b&filter=a.%3E", "filter=a.%3E&filter=b&filter=b", same},
			{"", "meta_only=true", reset},
			{"meta_only=true", "values=none", same},
			{"", "values=base64", reset},
			{"", "updates_only=true", reset},
			{"updates_only=true", "", reset},
			{"ignore_deletes=true", "", reset},
			{"", "include_history=true", same},
			{"resume_from_revision=2", "", reset},
			{"resume_from_revision=2", "resume_from_revision=2", same},
			{"", "heartbeat=1s&bookmarks=event", same},
			{"", "events=message", same},
		} {
			id := g.idAtSyncOrFirst(t, "/buckets/shop/watch?"+row.first)
			if got := g.resumesWith(t, "/buckets/shop/watch?"+row.then, id); got != row.want {
				t.Errorf("the id %s of %q begins %q with %s, want %s",
					id, row.first, row.then, got, row.want)
			}
			id, _, _ = strings.Cut(id, "~")
			got := g.resumesWith(t, "/buckets/shop/watch?"+row.then, id)
			if strings.HasPrefix(got, "reset") {
				t.Errorf("the id %s without a digest begins %q with %s", id, row.then, got)
			}
		}
		// In a stream of several buckets each bucket has its own digest.
		w := g.watch(t, "/watch?watch=shop:a.*&watch=config")
		w.until("sync")
		w.until("sync")
		w.close()
		other := g.watch(t, "/watch?watch=shop&watch=config", "Last-Event-ID: "+w.lastID)
		reported := map[string]int{}
		for synced := 0; synced < 2; {
			b := other.next()
			switch b.event {
			case "sync":
				synced++
				fallthrough
			case "reset":
				reported[fmt.Sprint(b.event, " ", b.object(t)["bucket"])]++
			}
		}
		if len(reported) != 3 || reported["reset shop"] != 1 || reported["sync config"] != 1 {
			t.Errorf("with another filter of shop: %v", reported)
		}
	})
}

// idAtSyncOrFirst is idAtSync that also supports updates_only. The first block of such a stream has
// its id.
func (g *gateway) idAtSyncOrFirst(t testing.TB, target string) string {
	t.Helper()
	if !strings.Contains(target, "updates_only") {
		return g.idAtSync(t, target)
	}
	w := g.watch(t, target)
	defer w.close()
	return w.next().id
}

// An event is encoded once for all streams of a form, whatever their filters are. Each stream sends
// it with its own digest.
func TestEventsHaveTheDigestOfTheirStream(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		g := start(t, form)
		kv := g.shop(t)
		// Two of these streams have the same digest.
		targets := []string{
			"/buckets/shop/watch",
			"/buckets/shop/watch?filter=a",
			"/buckets/shop/watch?filter=a&filter=b",
			"/buckets/shop/watch?filter=a&filter=b",
			"/buckets/shop/watch?ignore_deletes=true&heartbeat=1s",
		}
		var streams []*eventStream
		for _, target := range targets {
			w := g.watch(t, target)
			w.until("sync")
			streams = append(streams, w)
		}
		for _, value := range []string{
			"small", strings.Repeat("large", 50_000), "small", strings.Repeat("larger", 50_000),
		} {
			put(t, kv, "a", value)
			ids := make(map[string]int)
			for i, w := range streams {
				digest := w.lastID[strings.IndexByte(w.lastID, '~'):]
				b := w.until("put")
				if !strings.HasSuffix(b.id, digest) || b.object(t)["text"] != value {
					t.Fatalf("%s: the event %s of %d bytes in a stream with the digest %s",
						targets[i], b.id, len(b.data), digest)
				}
				ids[b.id]++
			}
			if len(ids) != len(targets)-1 {
				t.Errorf("ids %v", ids)
			}
		}
	})
}

// When settings that make entries vanish have changed, an id no longer stands for the state that
// its client holds. This is found also if nobody followed the bucket when they changed.
func TestIDOfOtherTermsIsReset(t *testing.T) {
	t.Parallel()
	inBothForms(t, func(t *testing.T, form func(*setup)) {
		server := natstest.Start(t, natstest.Options{})
		one := start(t, usingServer(server), form)
		const target = "/buckets/b/watch"
		one.do(t, "PUT", "/buckets/b", `{"history":5}`, jsonType).is(t, 201)
		one.putEach(t, "b", "a=1", "b=2")
		patch := func(body string) {
			t.Helper()
			one.do(t, "PATCH", "/buckets/b", body, mergeType).is(t, 200)
		}
		// wantElsewhere resumes a stream on a gateway that has followed nothing before.
		wantElsewhere := func(id, want string) {
			t.Helper()
			two := start(t, usingServer(server), form)
			if got := two.resumesWith(t, target, id); got != want {
				t.Errorf("%s begins with %s, want %s", id, got, want)
			}
		}
		id := one.idAtSync(t, target)
		patch(`{"description":"entries vanish as before"}`)
		wantElsewhere(id, "sync")
		w := one.watchUntilSync(t, target)
		patch(`{"ttl":"1h"}`)
		w.until("reset")
		w.until("sync")
		w.close()
		wantElsewhere(id, "reset config")
		wantElsewhere(w.lastID, "sync")
		patch(`{"ttl":"0s"}`)
		wantElsewhere(w.lastID, "reset config")
		// The settings are again those under which the id was given.
		wantElsewhere(id, "sync")
		unknown, _, _ := strings.Cut(id, "~")
		wantElsewhere(unknown, "sync")
	})
}
