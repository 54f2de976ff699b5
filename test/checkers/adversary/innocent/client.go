// Package innocent is a client that harms nobody. It reads and writes keys of its own at a steady
// pace, checks every answer, and records how long each took.
package innocent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// Buckets are the client's own bucket and the one that is attacked. It has keys in both.
var Buckets = []string{"own", "attacked"}

// prefix begins all keys of the client.
const prefix = "innocent."

const (
	// patience is how long the client waits for an answer before it calls the request failed.
	patience = 5 * time.Second
	// sharedPatience is that of a client with the attacker's address. It may have to wait for as
	// long as requests wait in two lines of the gateway, 5 s each (docs/bounds.md).
	sharedPatience = 15 * time.Second
)

// A Sample is one request, or one event of a stream.
type Sample struct {
	// Op names the route and form, such as "export".
	Op string
	// At is when it was due.
	At time.Time
	// Took is the time from At to the end of the answer. For an event it is the time from the
	// answer to the write until the event came.
	Took time.Duration
	// Err says why the request was refused or failed. It is "" if the answer was right.
	Err string
}

// A Client is the innocent client. Use New, Prepare, Follow, Work and Finish, in this order.
type Client struct {
	addr string
	// shared says that the attacker has the same address. Then the gateway cannot distinguish the
	// two: it may refuse this client, and may cut its streams, which come again.
	shared     bool
	transports []http.RoundTripper // With kept connections, with new ones, and with HTTP/2.
	keys       map[string]chan *key
	// transacting has, by bucket, a token for each transaction of the last second.
	transacting map[string]chan struct{}
	streams     []*stream
	work        sync.WaitGroup // The requests under way.

	mu      sync.Mutex // guards what follows
	samples []Sample
	stored  map[string]map[uint64]change // By bucket and revision.
	final   map[string]map[string]uint64 // The last revision by bucket and key, 0 if unknown.
	serial  int
}

// A key is used by one request at a time, so that what it holds is known.
type key struct {
	bucket, name string
	revision     uint64
	tag          string
	value        []byte
}

// A change is a write that was acknowledged.
type change struct {
	key string
	at  time.Time // When the answer came.
}

// New returns a client of the gateway at addr that connects from the local address from. shared
// says that the attacker has that address, too.
func New(addr, from string, shared bool) *Client {
	c := &Client{addr: addr, shared: shared, keys: map[string]chan *key{},
		transacting: map[string]chan struct{}{},
		stored:      map[string]map[uint64]change{},
		final:       map[string]map[string]uint64{}}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	kept := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 16}
	fresh := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	second := &http.Transport{DialContext: dialer.DialContext, Protocols: new(http.Protocols)}
	second.Protocols.SetUnencryptedHTTP2(true)
	c.transports = []http.RoundTripper{kept, kept, kept, fresh, second}
	for _, bucket := range Buckets {
		c.stored[bucket], c.final[bucket] = map[uint64]change{}, map[string]uint64{}
	}
	return c
}

// patience is how long the client waits for an answer.
func (c *Client) patience() time.Duration {
	if c.shared {
		return sharedPatience
	}
	return patience
}

// keysEach is how many keys of each bucket are read and overwritten.
const keysEach = 16

// Prepare creates the buckets and stores the first values.
func (c *Client) Prepare(ctx context.Context, random *rand.Rand) error {
	for _, bucket := range Buckets {
		t := c.turn(ctx, "prepare", random)
		config := []byte(`{"history":64,"allow_atomic":true}`)
		if _, err := t.call(http.MethodPut, "/buckets/"+bucket, config, http.StatusCreated,
			"Content-Type", "application/json"); err != nil {
			return err
		}
		c.keys[bucket] = make(chan *key, keysEach)
		c.transacting[bucket] = make(chan struct{}, transactionsEach)
		for i := range keysEach {
			k := &key{
				bucket: bucket,
				name:   fmt.Sprintf("%sk%d", prefix, i),
				value:  value(random, i),
			}
			answer, err := t.call(http.MethodPut, k.path("keys"), k.value, http.StatusOK)
			if err != nil {
				return err
			}
			c.wrote(k, answer)
			c.keys[bucket] <- k
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples = nil // Nobody was attacked yet.
	return nil
}

// Work makes rate requests a second for a while, whether or not earlier ones were answered, and
// then waits for their answers.
func (c *Client) Work(ctx context.Context, random *rand.Rand, rate int, d time.Duration) {
	began := time.Now()
	gap := time.Second / time.Duration(rate)
	for due := began; due.Sub(began) < d && ctx.Err() == nil; due = due.Add(gap) {
		time.Sleep(time.Until(due))
		op := draw(random)
		t := c.turn(ctx, op.name, rand.New(rand.NewPCG(random.Uint64(), 0)))
		t.due = due
		c.work.Go(func() { op.run(t) })
	}
	c.work.Wait()
}

// Samples returns what was recorded so far.
func (c *Client) Samples() []Sample {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Sample(nil), c.samples...)
}

func (c *Client) sample(s Sample) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samples = append(c.samples, s)
}

// take waits for a key that nothing else uses. The caller must give it back.
func (c *Client) take(t *turn, bucket string) *key {
	select {
	case k := <-c.keys[bucket]:
		return k
	case <-t.ctx.Done():
		c.sample(Sample{Op: t.op, At: t.due, Took: time.Since(t.due), Err: "no key became free"})
		return nil
	}
}

func (c *Client) give(k *key) { c.keys[k.bucket] <- k }

// transactionsEach is how many transactions a second the client has in a bucket at most. They are
// fewer than --transaction-rate leaves when one address has used up its share.
const transactionsEach = 4

// mayTransact reports whether the client may have another transaction in a bucket. If so, answered
// must be called after its answer, since the gateway counts it at some moment before.
func (c *Client) mayTransact(bucket string) (answered func(), ok bool) {
	tokens := c.transacting[bucket]
	select {
	case tokens <- struct{}{}:
		return func() { time.AfterFunc(time.Second, func() { <-tokens }) }, true
	default:
		return nil, false
	}
}

// wrote records a write to a key that was acknowledged.
func (c *Client) wrote(k *key, a *answer) {
	k.tag, k.revision = a.header.Get("ETag"), a.revision
	c.note(k.bucket, k.name, a.revision)
}

// note records an acknowledged write by the name of its key.
func (c *Client) note(bucket, name string, revision uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored[bucket][revision] = change{key: name, at: time.Now()}
	c.final[bucket][name] = revision
}

// lost records that it is not known what a key holds, after a write without an answer.
func (c *Client) lost(bucket, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.final[bucket][name] = 0
}

// name returns a name that was not used before.
func (c *Client) name(of string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	return fmt.Sprintf("%s%s.%d", prefix, of, c.serial)
}

func (k *key) path(below string) string {
	return "/buckets/" + k.bucket + "/" + below + "/" + k.name
}
