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
	AllLogs    int           // bytes of the logs of all feeds, 128 MiB
	LogChanges int           // of a feed's log, 65,536
	Snapshots  int           // that are read from NATS at once, 4
	Linger     time.Duration // of a feed after its last subscription, 30s
	Feeds      int           // that there may be at once, 1,024
	Bounds     *bound.Set    // where the hub's bounds are put; nil for a set of its own
	Logger     zerolog.Logger
}

func (o Options) withDefaults() Options {
	if o.LogBytes == 0 {
		o.LogBytes = 16 << 20
	}
	if o.AllLogs == 0 {
		o.AllLogs = 128 << 20
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
	if o.Feeds == 0 {
		o.Feeds = 1024
	}
	if o.Bounds == nil {
		o.Bounds = bound.NewSet()
	}
	return o
}

// openReadings is how many readings may be open for each that may read.
const openReadings = 8

// A Hub has the feeds of one NATS identity: one for each bucket that is watched, however many watch it.
type Hub struct {
	client  *kvclient.Client
	options Options
	open    *bound.Bound // readings that are open
	turns   *bound.Bound // those of them that read
	filters *bound.Bound // what subscriptions hold
	turn    turnLimit    // of each subscription
	stats   Stats

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	closed atomic.Bool

	advisories *bound.Bound // of each feed, that wait for it
	places     *bound.Bound // of the feeds that have a source
	rests      *bound.Bound // of those that rest
	logs       *bound.Bound // of the feeds, in bytes

	mu      sync.Mutex
	feeds   map[kvclient.BucketName]*Feed
	resting int           // feeds without a source, since their bucket is missing
	looking chan struct{} // not nil while somebody looks for those buckets; a token asks for a look soon
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

var resetReasons = [...]string{ReasonEpoch, ReasonAhead, ReasonHorizon, ReasonUnknownID, ReasonPurged,
	ReasonFilters, ReasonConfig}

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
	h := &Hub{
		options: options,
		open:    openBound(options.Bounds, options.Snapshots),
		turns:   turnBound(options.Bounds, options.Snapshots),
		filters: interestBound(options.Bounds),
		turn:    defaultTurn,

		advisories: advisoryBound(options.Bounds),
		places:     placeBound(options.Bounds, options.Feeds),
		rests:      restBound(options.Bounds, options.Feeds),
		logs:       logBound(options.Bounds, options.AllLogs),

		feeds: make(map[kvclient.BucketName]*Feed),
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// Stats returns the hub's counters.
func (h *Hub) Stats() *Stats { return &h.stats }

// Size returns how many feeds there are that have a source, or look for one, and the bytes of their
// logs.
func (h *Hub) Size() (feeds, logBytes int) {
	all := h.all()
	for _, f := range all {
		f.mu.Lock()
		logBytes += f.log.bytes
		f.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, len(all)-h.resting), logBytes
}

// Reading returns how many snapshots and replays are open now.
func (h *Hub) Reading() int { return int(h.open.Used()) }

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
	h.mu.Lock()
	h.stop() // from here on nothing is started
	h.mu.Unlock()
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
	h.mu.Lock()
	defer h.mu.Unlock() // while a feed may come to rest, with what it has yet to hear
	if a.Kind == kvclient.Reconnected || a.Kind == kvclient.AdvisoriesMissed {
		for _, f := range h.feeds {
			h.hear(f, a)
		}
		h.lookSoon()
		return
	}
	if f := h.feeds[a.Bucket]; f != nil {
		h.hear(f, a)
	}
}
