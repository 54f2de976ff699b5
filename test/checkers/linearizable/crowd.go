package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How the crowd reads and writes. Each gateway has more readers at once than it reads for from
// NATS, each by itself, so that all reads of the bucket are answered from the gateway's own copy.
const (
	crowdReaders = 160 // of each gateway
	mostKeys     = 32  // that it overwrites
	// The crowd comes and goes, so that the registers are read in both ways, and not too slowly.
	crowdStays, crowdIsAway = time.Second, 700 * time.Millisecond
)

// crowdBucket is the second bucket of the crowd.
const crowdBucket = "crowd"

// A stay says what the crowd does while it is there. Its stays take turns.
type stay struct {
	bucket string
	// keys is how many keys are overwritten, one after the other.
	keys int
	// pending is how many writes wait for their acknowledgement at a time.
	pending int
}

// stays are the stays. In the bucket of the registers most positions of a feed are exact, so that
// the registers are read from memory, too. In the other bucket, which NATS has in memory, a key is
// overwritten every fraction of a millisecond. It keeps one revision of a key, so that with many
// writes under way a feed passes over most of them, and hardly any of its positions is exact. That
// bucket is made anew for each stay, since it is lost when NATS is killed.
var stays = [...]stay{
	{registerBucket, 4, 4}, {crowdBucket, 4, 4}, {crowdBucket, mostKeys, 2 * mostKeys},
}

// A crowd overwrites a few keys of a bucket as fast as it can, and reads them through both
// gateways. An answer must not be older than a write that was acknowledged before the request was
// sent.
type crowd struct {
	*run
	// acknowledged has, by stay and key, the highest revision of which the writers know.
	acknowledged [len(stays)][mostKeys]atomic.Uint64
	// missed counts the reads that were older than that.
	missed atomic.Int64
}

// come lets the crowd come and go until the context ends.
func (c *crowd) come(ctx context.Context) {
	var always sync.WaitGroup
	defer always.Wait()
	for i, g := range c.gateways {
		for _, bucket := range []string{registerBucket, crowdBucket} {
			always.Go(func() { c.follow(ctx, g, bucket) })
		}
		always.Go(func() { c.countFresh(ctx, c.sites[i].admin) })
	}
	for i := 0; ctx.Err() == nil; i = (i + 1) % len(stays) {
		life := c.lives.Load()
		if stays[i].bucket == crowdBucket && !c.makeAnew(ctx, i) {
			continue
		}
		there, leave := context.WithTimeout(ctx, crowdStays)
		var all sync.WaitGroup
		all.Go(func() { c.write(there, i) })
		for _, g := range c.gateways {
			for reader := range crowdReaders {
				all.Go(func() { c.read(there, g, i, reader%stays[i].keys, life) })
			}
		}
		all.Wait()
		leave()
		pause(ctx, crowdIsAway)
	}
}

// makeAnew makes the crowd's own bucket for a stay, if NATS is there.
func (c *crowd) makeAnew(ctx context.Context, stay int) bool {
	for i := range mostKeys {
		c.acknowledged[stay][i].Store(0)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_ = c.js.DeleteKeyValue(ctx, crowdBucket) // it may be lost
	_, err := c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: crowdBucket, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		pause(ctx, 50*time.Millisecond)
	}
	return err == nil
}

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// crowdKey names a key of the crowd.
func crowdKey(i int) string { return fmt.Sprintf("crowd%d", i) }

// write overwrites the keys of a stay.
func (c *crowd) write(ctx context.Context, stay int) {
	places := make(chan struct{}, stays[stay].pending)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for n := 0; ctx.Err() == nil; n++ {
		key := n % stays[stay].keys
		places <- struct{}{}
		subject := "$KV." + stays[stay].bucket + "." + crowdKey(key)
		ack, err := c.js.PublishAsync(subject, []byte("{}"), jetstream.WithRetryAttempts(0))
		if err != nil { // NATS is away
			<-places
			pause(ctx, 20*time.Millisecond)
			continue
		}
		waiting.Go(func() {
			defer func() { <-places }()
			select {
			case a := <-ack.Ok():
				raise(&c.acknowledged[stay][key], a.Sequence)
			case <-ack.Err():
			case <-time.After(answerTimeout):
			}
		})
	}
}

// raise sets a number to another one, unless it is higher.
func raise(number *atomic.Uint64, to uint64) {
	for {
		now := number.Load()
		if now >= to || number.CompareAndSwap(now, to) {
			return
		}
	}
}

// read reads a key of a stay until the context ends. The crowd's own bucket is lost when NATS does
// not live on.
func (c *crowd) read(ctx context.Context, g *gatewayClient, stay, key int, life int64) {
	req := request{method: http.MethodGet,
		path: "/buckets/" + stays[stay].bucket + "/keys/" + crowdKey(key)}
	for ctx.Err() == nil {
		least := c.acknowledged[stay][key].Load()
		a, err := g.do(ctx, req)
		lost := stays[stay].bucket == crowdBucket && c.lives.Load() != life
		if lost || err != nil || a.status != http.StatusOK && a.code != "key-not-found" {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		revision, _, err := a.tag()
		if err == nil && revision >= least {
			c.history.without("crowd GET", "done")
			continue
		}
		if c.missed.Add(1) <= shown {
			c.history.accuse("missed write", fmt.Sprintf("%s: %v of revision %d, error %v, "+
				"but %d was acknowledged before", req.path, a, revision, err, least))
		}
	}
}

// follow has a bucket watched, so that the gateway has a copy of it, until the context ends.
func (c *crowd) follow(ctx context.Context, g *gatewayClient, bucket string) {
	url := g.base + "/buckets/" + bucket + "/watch?updates_only=true&filter=nothing"
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			c.fail(err)
			return
		}
		if response, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, response.Body) // it ends with the gateway, or with ctx
			response.Body.Close()
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// countFresh counts the reads that a gateway has answered from its copy, as its metrics say. They
// begin at 0 with each start of the gateway.
func (c *crowd) countFresh(ctx context.Context, admin string) {
	var last int
	for ctx.Err() == nil {
		if now, ok := metric(ctx, admin, "kvgw_memory_reads_total"); ok {
			for range max(0, now-last) {
				c.history.without("GET", "from memory")
			}
			last = now
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// metric returns a counter of a gateway. ok is false if it cannot be had.
func metric(ctx context.Context, admin, name string) (value int, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0, false
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, false
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, found := strings.CutPrefix(lines.Text(), name+" "); found {
			number, err := strconv.ParseFloat(text, 64)
			return int(number), err == nil
		}
	}
	return 0, false
}
