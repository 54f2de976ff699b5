package feed

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/kvclient"
)

// Options bound what feeds hold. Zero values stand for the defaults.
type Options struct {
	LogBytes   int           // of a feed's log, 16 MiB
	LogChanges int           // of a feed's log, 65,536
	Snapshots  int           // that are read from NATS at once, 4
	Linger     time.Duration // of a feed after its last subscription, 30s
	Bounds     *bound.Set    // where the hub's bounds are put; nil for a set of its own
	Logger     zerolog.Logger
}

func (o Options) withDefaults() Options {
	if o.LogBytes == 0 {
		o.LogBytes = 16 << 20
	}
	if o.LogChanges == 0 {
		o.LogChanges = 1 << 16
	}
	if o.Snapshots == 0 {
		o.Snapshots = 4
	}
	if o.Linger == 0 {
		o.Linger = 30 * time.Second
	}
	if o.Bounds == nil {
		o.Bounds = bound.NewSet()
	}
	return o
}

// openReadings is how many readings may be open for each that reads.
const openReadings = 8

// A Hub has the feeds of one NATS identity: one for each bucket that is watched, however many watch it.
type Hub struct {
	client  *kvclient.Client
	options Options
	slots   chan struct{} // of the snapshots that are being read
	open    chan struct{} // of these and of those that wait for who follows them: each has a consumer, and some megabytes
	wanted  chan struct{} // whoever waits for its followers takes it, and ends: another waits to be open
	stats   Stats

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	closed atomic.Bool

	mu    sync.Mutex
	feeds map[kvclient.BucketName]*Feed
}

// Stats count what feeds do, for the metrics.
type Stats struct {
	Subscriptions atomic.Int64 // now
	Changes       atomic.Uint64
	Restarts      atomic.Uint64 // of sources
	Snapshots     atomic.Uint64 // and replays that were read from NATS
	Slow          atomic.Uint64 // subscriptions that were ended
	Resets        [len(resetReasons)]atomic.Uint64
}

var resetReasons = [...]string{ReasonEpoch, ReasonAhead, ReasonHorizon, ReasonUnknownID, ReasonPurged, ReasonFilters}

// EachReset calls visit with each reason for which subscriptions are reset, and how often they were.
func (s *Stats) EachReset(visit func(reason string, count uint64)) {
	for i, reason := range resetReasons {
		visit(reason, s.Resets[i].Load())
	}
}

func (s *Stats) reset(reason string) {
	for i, r := range resetReasons {
		if r == reason {
			s.Resets[i].Add(1)
		}
	}
}

// NewHub starts a hub without feeds.
func NewHub(client *kvclient.Client, options Options) *Hub {
	h := newHub(options.withDefaults())
	h.client = client
	client.Observe(h.advise)
	return h
}

func newHub(options Options) *Hub {
	h := &Hub{options: options, slots: make(chan struct{}, options.Snapshots),
		open: make(chan struct{}, openReadings*options.Snapshots), wanted: make(chan struct{}), feeds: make(map[kvclient.BucketName]*Feed)}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// Stats returns the hub's counters.
func (h *Hub) Stats() *Stats { return &h.stats }

// Size returns how many feeds there are, and the bytes of their logs.
func (h *Hub) Size() (feeds, logBytes int) {
	for _, f := range h.all() {
		f.mu.Lock()
		logBytes += f.log.bytes
		f.mu.Unlock()
		feeds++
	}
	return feeds, logBytes
}

// Farewell makes every subscription end with GoAway, [ReasonShutdown]; new ones end at once.
func (h *Hub) Farewell() {
	h.closed.Store(true)
	for _, f := range h.all() {
		f.wakeAll()
	}
}

// Close ends all feeds and waits for them.
func (h *Hub) Close() {
	h.Farewell()
	h.stop()
	h.work.Wait()
}

func (h *Hub) all() []*Feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Feed, 0, len(h.feeds))
	for _, f := range h.feeds {
		all = append(all, f)
	}
	return all
}

// advise passes the server's word on to the feed that it concerns.
func (h *Hub) advise(a kvclient.Advisory) {
	if a.Kind == kvclient.Reconnected {
		for _, f := range h.all() {
			f.advise(a)
		}
		return
	}
	h.mu.Lock()
	f := h.feeds[a.Bucket]
	h.mu.Unlock()
	if f != nil {
		f.advise(a)
	}
}

// feed returns the bucket's feed with one more user, and starts it if there is none.
func (h *Hub) feed(name kvclient.BucketName) *Feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.feeds[name]
	if f == nil {
		f = newFeed(h, name)
		h.feeds[name] = f
		ctx, cancel := context.WithCancel(h.ctx)
		f.cancel = cancel
		h.work.Go(func() { f.run(ctx) })
	}
	f.users++
	if f.lingering != nil {
		f.lingering.Stop()
		f.lingering = nil
	}
	return f
}

// release takes a user from a feed, which ends some time after the last.
func (h *Hub) release(f *Feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.users--; f.users > 0 {
		return
	}
	f.lingering = time.AfterFunc(h.options.Linger, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if f.users == 0 && h.feeds[f.name] == f {
			delete(h.feeds, f.name)
			f.cancel()
		}
	})
}
