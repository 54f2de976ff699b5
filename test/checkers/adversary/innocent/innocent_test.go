package innocent

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// against runs each operation once against a server that answers everything in one way, and
// returns the samples of each.
func against(t *testing.T, answer http.HandlerFunc) map[string][]Sample {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	all := map[string][]Sample{}
	for _, o := range operations {
		c := New(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", false)
		for _, bucket := range Buckets {
			c.keys[bucket] = make(chan *key, 2)
			c.transacting[bucket] = make(chan struct{}, transactionsEach)
			c.keys[bucket] <- &key{bucket, "innocent.k1", 7, `"7-a"`, []byte("value")}
			c.keys[bucket] <- &key{bucket, "innocent.k2", 8, `"8-a"`, []byte("value")}
		}
		o.run(c.turn(t.Context(), o.name, rand.New(rand.NewPCG(1, 1))))
		all[o.name] = c.Samples()
	}
	return all
}

func TestRefusalsAreNoted(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		// A body that is still being sent would be answered by a reset of the connection.
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	refused := func(s Sample) bool { return strings.Contains(s.Err, "503") }
	for name, samples := range against(t, refuse) {
		if !slices.ContainsFunc(samples, refused) {
			t.Errorf("%s: %+v", name, samples)
		}
	}
}

// The gateway counts a transaction at some moment before its answer, and may refuse one of more
// than transactionsEach in a second.
func TestTransactionsAreFewInEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New("", "", false)
		c.transacting["own"] = make(chan struct{}, transactionsEach)
		var last func()
		for range transactionsEach {
			answered, ok := c.mayTransact("own")
			if !ok {
				t.Fatal("refused")
			}
			last = answered
		}
		for range 2 {
			if _, ok := c.mayTransact("own"); ok {
				t.Errorf("more than %d in a second", transactionsEach)
			}
			last()
			last = func() {}
			time.Sleep(time.Second - 1)
		}
		time.Sleep(1)
		synctest.Wait()
		if _, ok := c.mayTransact("own"); !ok {
			t.Error("refused a second after the answer")
		}
	})
}

// Where the client knows what an answer must be, another answer is an error.
func TestWrongAnswersAreNoted(t *testing.T) {
	wrong := func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"revision":1}`))
	}
	samples := against(t, wrong)
	for _, name := range []string{"get", "get-any", "get-304", "get-range", "entry", "history",
		"multi-get", "entries", "export", "keys", "keys-lines", "keys-text", "watch",
		"watch-several", "create-delete", "transaction", "import"} {
		if !slices.ContainsFunc(samples[name], func(s Sample) bool { return s.Err != "" }) {
			t.Errorf("%s: %+v", name, samples[name])
		}
	}
}

// The contract names the routes.
func TestEveryRouteThatReadsIsRead(t *testing.T) {
	contract, err := os.ReadFile("../../../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path, paths := "", regexp.MustCompile(`^  (/\S*):$`)
	reads := func(o operation) bool { return o.route == "GET "+path }
	for line := range strings.Lines(string(contract)) {
		line = strings.TrimRight(line, "\n")
		if m := paths.FindStringSubmatch(line); m != nil {
			path = m[1]
		}
		// It is served only with --public-url.
		if path == "/.well-known/oauth-protected-resource" {
			continue
		}
		if line == "    get:" && !slices.ContainsFunc(operations, reads) {
			t.Errorf("no operation reads %s", path)
		}
	}
}

// told is a stream that has been told of a write at revision 2.
func told() (*Client, *stream) {
	c := New("127.0.0.1:1", "127.0.0.1", false)
	c.note("own", "innocent.k1", 2)
	s := newStream("/", eventType, "own")
	s.cancel = func() {}
	s.take(event{Event: "sync", Bucket: "own", Revision: 1, Exact: true})
	s.take(event{Event: "put", Bucket: "own", Key: "innocent.k1", Revision: 2})
	s.take(event{Event: "bookmark", Bucket: "own", Revision: 2, Exact: true})
	c.streams = []*stream{s}
	return c, s
}

// A stream that is cut is a fault, unless the gateway cannot distinguish its client from the
// attacker. Then it comes again, and what it told before does not count.
func TestCutStreamComesAgain(t *testing.T) {
	for _, shared := range []bool{false, true} {
		var opened atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			const state = `event: put
data: {"bucket":"own","key":"innocent.k1","revision":%[1]d}

event: sync
data: {"bucket":"own","revision":%[1]d,"exact":true}

`
			again := opened.Add(1) > 1
			fmt.Fprintf(w, state, map[bool]int{false: 1, true: 2}[again])
			_ = http.NewResponseController(w).Flush()
			if again {
				<-r.Context().Done()
			}
		}))
		defer server.Close()
		c := New(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1", shared)
		c.note("own", "innocent.k1", 2)
		s := newStream("/", eventType, "own")
		ctx, cancel := context.WithCancel(t.Context())
		s.cancel = cancel
		c.streams = []*stream{s}
		go s.follow(ctx, c)
		<-s.synced
		faults := strings.Join(c.Finish(), "; ")
		if shared && faults != "" || !shared && !strings.Contains(faults, "it ended") {
			t.Errorf("shared %v: %s", shared, faults)
		}
	}
}

func TestStreamsAreCompared(t *testing.T) {
	cases := map[string]struct {
		spoil func(*Client, *stream)
		want  string
	}{
		"right": {func(*Client, *stream) {}, ""},
		"a missing event": {func(c *Client, s *stream) {
			c.note("own", "innocent.k2", 3)
		}, "exact up to 2 only"},
		"out of order": {func(_ *Client, s *stream) {
			s.take(event{Event: "put", Bucket: "own", Revision: 1})
		}, "revision 1 after 2"},
		"reset": {func(_ *Client, s *stream) {
			s.take(event{Event: "reset", Bucket: "own"})
		}, "reset"},
		"stale": {func(_ *Client, s *stream) { s.take(event{Event: "stale"}) }, "stale"},
		"another fold": {func(c *Client, s *stream) {
			s.fold["own"]["innocent.k1"] = 1
		}, "is at 1, not at 2"},
		"a write with unknown outcome": {func(c *Client, s *stream) {
			s.fold["own"]["innocent.k1"] = 9
			c.lost("own", "innocent.k1")
		}, ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			c, s := told()
			test.spoil(c, s)
			began := time.Now()
			faults := c.Finish()
			if found := strings.Join(faults, "; "); (test.want == "") != (found == "") ||
				!strings.Contains(found, test.want) {
				t.Fatal(found)
			}
			if test.want == "" && time.Since(began) > time.Second {
				t.Fatal("it waited for a stream that was settled")
			}
		})
	}
}
