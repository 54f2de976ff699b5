package innocent

import (
	"fmt"
	"net/http"
	"time"
)

// settle is how long a stream may take to be exact after the last write and the end of the attack.
// That is the time of two heartbeats, and a little more.
const settle = 2500 * time.Millisecond

// Finish waits until the streams have told of what was written, and ends them. It returns what they
// did wrong. Afterwards the samples include the times that events took.
func (c *Client) Finish() []string {
	until := time.Now().Add(settle)
	if c.shared {
		until = time.Now().Add(sharedPatience) // A stream may have to come again.
	}
	for time.Now().Before(until) && !c.settled() {
		time.Sleep(20 * time.Millisecond)
	}
	var faults []string
	for _, s := range c.streams {
		s.mu.Lock()
		s.finished = true
		faults = append(faults, s.faults...)
		faults = append(faults, c.compare(s)...)
		s.mu.Unlock()
		s.cancel()
	}
	for _, t := range c.transports {
		t.(*http.Transport).CloseIdleConnections() // They would delay the gateway's end.
	}
	return faults
}

// settled reports whether every stream has an exact position behind the last write.
func (c *Client) settled() bool {
	for _, s := range c.streams {
		s.mu.Lock()
		for _, bucket := range s.buckets {
			if s.exact[bucket] < c.end(bucket) {
				s.mu.Unlock()
				return false
			}
		}
		s.mu.Unlock()
	}
	return true
}

// end returns the last revision of a bucket that was acknowledged.
func (c *Client) end(bucket string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := uint64(0)
	for revision := range c.stored[bucket] {
		last = max(last, revision)
	}
	return last
}

// compare returns what is wrong with a stream. Every acknowledged write must have come, the fold
// must be what was stored last, and the stream must say that it is exact. s.mu must be held.
func (c *Client) compare(s *stream) (faults []string) {
	fault := func(format string, args ...any) {
		faults = append(faults, s.path+": "+fmt.Sprintf(format, args...))
	}
	for _, bucket := range s.buckets {
		if end := c.end(bucket); s.exact[bucket] < end {
			fault("%s is exact up to %d only, after a write at %d", bucket, s.exact[bucket], end)
		}
		lacks := 0
		c.mu.Lock()
		for revision, stored := range c.stored[bucket] {
			if revision <= s.began[bucket] {
				continue // The initial state included it.
			}
			at, came := s.seen[bucket][revision]
			if !came && s.cuts > 0 {
				continue // It may have come while the stream was away.
			}
			sample := Sample{Op: "event", At: stored.at, Took: max(0, at.Sub(stored.at))}
			if !came {
				sample.Took, sample.Err = time.Since(stored.at), "an event did not come"
				lacks++
			}
			c.samples = append(c.samples, sample)
		}
		for name, revision := range c.final[bucket] {
			if revision != 0 && s.fold[bucket][name] != revision {
				fault("%s of %s is at %d, not at %d", name, bucket, s.fold[bucket][name], revision)
			}
		}
		c.mu.Unlock()
		if lacks > 0 {
			fault("%d writes of %s were acknowledged and not told", lacks, bucket)
		}
	}
	return faults
}
