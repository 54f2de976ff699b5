package handlers_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"kvgateway/internal/bound"
)

// A stuckWriter is the connection of a client that takes nothing of its answer.
type stuckWriter struct {
	header http.Header
	// stuck is closed when the answer has begun, and taken when the client takes it.
	stuck, taken chan struct{}
	once         sync.Once
}

func (w *stuckWriter) Header() http.Header { return w.header }
func (w *stuckWriter) WriteHeader(int)     {}
func (w *stuckWriter) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.stuck) })
	<-w.taken
	return len(p), nil
}

// answerUnread sends a request whose client does not read the answer, and returns when that has
// begun.
func (g *gateway) answerUnread(t *testing.T, method, target, body string, headers ...string) {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost"
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := &stuckWriter{
		header: http.Header{}, stuck: make(chan struct{}), taken: make(chan struct{}),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.handler.ServeHTTP(w, r)
	}()
	t.Cleanup(func() {
		close(w.taken)
		<-done
	})
	select {
	case <-w.stuck:
	case <-time.After(patience):
		t.Fatalf("%s %s is not answered", method, target)
	}
}

// While an answer waits for its client, the request holds none of what other requests need. Four
// clients that did not read a list of buckets kept all others from listing, creating and changing
// buckets.
func TestUnreadAnswersHoldNoPlacesOrBodies(t *testing.T) {
	t.Parallel()
	settings := `{"metadata":{"m":"` + strings.Repeat("v", 20_000) + `"}}`
	value := `"` + strings.Repeat("v", 100_000) + `"`
	transaction := `{"operations":[{"op":"put","key":"t","json":` + value + `}]}`
	for _, request := range [][]string{
		{"GET", "/buckets", ""},
		{"PUT", "/buckets/new", settings, jsonType},
		{"PUT", "/buckets/bare", ""},
		{"PUT", "/buckets/ledger", settings, jsonType}, // there is another one
		{"PATCH", "/buckets/ledger", settings, mergeType},
		{"PATCH", "/buckets/ledger", `{"history":"x"}`, mergeType},
		{"DELETE", "/buckets/missing", ""},
		{"PUT", "/buckets/ledger/keys/a", value, jsonType},
		{"PUT", "/buckets/ledger/keys/a", value, jsonType, `If-Match: "99-x"`},
		{"PATCH", "/buckets/ledger/keys/a", `{"a":` + value + `}`, mergeType},
		{"POST", "/buckets/ledger/transactions", transaction, jsonType},
		{"DELETE", "/buckets/ledger/keys?filter=none", ""},
	} {
		t.Run(fmt.Sprintf("%s %s", request[0], request[1]), func(t *testing.T) {
			t.Parallel()
			g, bounds := startBounded(t)
			put(t, g.ledger(t), "a", "{}")
			g.answerUnread(t, request[0], request[1], request[2], request[3:]...)
			for _, name := range []string{
				"bucket-requests", "body-memory", "transaction-bodies", "imports",
			} {
				if used := bounds.Find(name).Used(); used > 0 {
					t.Errorf("%d of %s are held while the answer is not read", used, name)
				}
			}
		})
	}
}

// A request that creates, changes or deletes a bucket waits for its place, like a list
// (TestListsOfBucketsAreBounded).
func TestBucketRequestsNeedPlaces(t *testing.T) {
	t.Parallel()
	for _, request := range [][]string{
		{"PUT", "/buckets/new", "{}", jsonType},
		{"PUT", "/buckets/new", ""},
		{"PATCH", "/buckets/shop", `{"description":"x"}`, mergeType},
		{"DELETE", "/buckets/shop", ""},
	} {
		t.Run(fmt.Sprintf("%s %s %s", request[0], request[1], request[2]), func(t *testing.T) {
			t.Parallel()
			g, bounds := startBounded(t)
			g.shop(t)
			places := bounds.Find("bucket-requests")
			var all bound.Hold
			if err := places.Take(t.Context(), &all, "", places.Limit(), nil); err != nil {
				t.Fatal(err)
			}
			answered := make(chan *answer, 1)
			go func() {
				answered <- g.do(t, request[0], request[1], request[2], request[3:]...)
			}()
			eventually(t, "the request waits", func() bool { return places.Waiting() == 1 })
			all.Release()
			if a := <-answered; a.status >= 300 {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

// A page of buckets ends when its documents are large, and no bucket is left out.
func TestPageOfLargeBucketsEndsEarly(t *testing.T) {
	t.Parallel()
	g := start(t)
	// Each character takes six bytes of JSON.
	settings := `{"metadata":{"m":"` + strings.Repeat("\u0085", 60_000) + `"}}`
	const count = 7
	for i := range count {
		g.do(t, "PUT", fmt.Sprintf("/buckets/b%d", i), settings, jsonType).is(t, 201)
	}
	found, pages := 0, 0
	for target := "/buckets"; target != ""; pages++ {
		a := g.get(t, target).is(t, 200)
		if len(a.body) > 3<<20 {
			t.Errorf("page %d has %d bytes", pages, len(a.body))
		}
		page := a.object(t)
		for _, bucket := range page["buckets"].([]any) {
			if name := bucket.(map[string]any)["bucket"]; name != fmt.Sprintf("b%d", found) {
				t.Errorf("bucket %d is %v", found, name)
			}
			found++
		}
		if target = ""; page["next"] != nil {
			target = fmt.Sprintf("/buckets?cursor=%s", page["next"])
		}
	}
	if found != count || pages < 2 {
		t.Errorf("%d buckets on %d pages", found, pages)
	}
}
