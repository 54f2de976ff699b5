package handlers_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A list that is read while others write is complete: it has each key that is there all the time
// once, and in order.
func TestListingUnderWritersIsComplete(t *testing.T) {
	t.Parallel()
	g := start(t)
	// The bucket keeps one revision of a key, so that a value that is overwritten is gone.
	kv := g.bucket(t, jetstream.KeyValueConfig{Bucket: "b", Storage: jetstream.MemoryStorage})
	var keys []string
	for i := range 200 {
		keys = append(keys, fmt.Sprintf("k%03d", i))
		put(t, kv, keys[i], "0")
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for i := w; ; i += 7 {
				select {
				case <-stop:
					return
				default:
					_, err := kv.PutString(t.Context(), keys[i%len(keys)], fmt.Sprint(i))
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 15 {
		if got := g.listedLines(t, "/buckets/b/keys"); !slices.Equal(got, keys) {
			missing := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
				return slices.Contains(got, key)
			})
			t.Errorf("%d of %d keys; missing %q", len(got), len(keys), missing)
		}
	}
	close(stop)
	writers.Wait()
}

// Many clients write and read at once, each its own keys. None gets the answer to another's
// request.
func TestConcurrentClientsGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.shop(t)
	var clients sync.WaitGroup
	for c := range 16 {
		clients.Go(func() {
			s := g.session(t)
			path := fmt.Sprintf("/buckets/shop/keys/client%d", c)
			for i := range 15 {
				value := strings.Repeat(fmt.Sprintf("%d.%d,", c, i), 1+c*50)
				tag := s.do(t, "PUT", path, value, "Content-Type: text/plain").tag()
				a := s.do(t, "GET", path, nil)
				if unchecked(a.tag()) != tag || string(a.body) != value {
					t.Errorf("client %d reads %s %.40q, wrote %s %.40q",
						c, a.tag(), a.body, tag, value)
				}
				b := s.do(t, "GET", path+".never", nil)
				if b.status != 404 || !strings.Contains(string(b.body), "key-not-found") {
					t.Errorf("client %d: %d %s", c, b.status, b.body)
				}
				if b := s.do(t, "PUT", path, "x", "If-None-Match: *"); b.status != 412 ||
					unchecked(b.tag()) != tag {
					t.Errorf("client %d: %d %s, want 412 %s", c, b.status, b.tag(), tag)
				}
			}
		})
	}
	clients.Wait()
}

// Several clients create the same key at once, over HTTP and natively. Exactly one of them
// succeeds.
func TestOneCreatorWins(t *testing.T) {
	t.Parallel()
	g := start(t)
	kv := g.shop(t)
	for round := range 10 {
		key := fmt.Sprintf("k%d", round)
		// In every other round the key has a marker.
		if round%2 == 1 {
			put(t, kv, key, "v")
			deleteKey(t, kv, key)
		}
		won := make(chan string, 16)
		var creators sync.WaitGroup
		for c := range 4 {
			creators.Go(func() {
				if a := g.do(t, "PUT", "/buckets/shop/keys/"+key, fmt.Sprint("http", c),
					"If-None-Match: *"); a.status == 201 {
					won <- fmt.Sprint("http", c)
				} else {
					a.problem(t, 412, "key-exists")
				}
			})
			creators.Go(func() {
				if _, err := kv.Create(t.Context(), key, fmt.Append(nil, "native", c)); err == nil {
					won <- fmt.Sprint("native", c)
				}
			})
		}
		creators.Wait()
		close(won)
		var winners []string
		for winner := range won {
			winners = append(winners, winner)
		}
		if len(winners) != 1 {
			t.Fatalf("%s: %q succeeded", key, winners)
		}
		wantNative(t, kv, key, winners[0])
	}
}
