package feed

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// Options bound what feeds hold. Zero values stand for the defaults.
type Options struct {
	// LogBytes bounds the log of one feed, in bytes: 16 MiB.
	LogBytes int
	// AllLogs bounds the logs of all feeds together, in bytes: 128 MiB.
	AllLogs int
	// LogChanges bounds the changes in the log of one feed: 65,536.
	LogChanges int
	// Snapshots is how many snapshots and replays are read from NATS at once: 4.
	Snapshots int
	// Linger is how long a feed stays after its last subscription: 30 s.
	Linger time.Duration
	// Feeds is how many feeds may have a source at once: 1,024. Eight times as many may rest.
	Feeds int
	// Memory bounds the copies of buckets in memory, in bytes; with 0 there are none.
	Memory int64
	// Keep chooses the buckets that are kept in memory without a watcher, and whose copies do not
	// give way to others; nil for none.
	Keep func(kv.BucketName) bool
	// CheckCopies is about how often each copy is compared with the store: 5 min.
	CheckCopies time.Duration
	// CopyMismatch is called, if it is not nil, when a copy disagrees with the store in a key.
	CopyMismatch func(bucket kv.BucketName, key string)
	// Bounds is where the hub's bounds are listed; nil for a set of its own.
	Bounds *bound.Set
	// Logger is where the hub logs to.
	Logger zerolog.Logger
}

// withDefaults fills the defaults in.
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
	if o.CheckCopies == 0 {
		o.CheckCopies = 5 * time.Minute
	}
	if o.Bounds == nil {
		o.Bounds = bound.NewSet()
	}
	return o
}

// openPerActive is how many readings may be open for each that may be active.
const openPerActive = 8

// A Hub has the feeds of one NATS identity: one for each bucket that is watched, however many
// subscriptions watch it.
//
// A feed is in the hub from its first user until it is dropped. While it is there it either has a
// source or rests, since its bucket is missing; registry.go decides which. The hub hands the
// client's advisories to the feeds. It also has the bounds that all feeds share.
//
// [Hub.EndSubscriptions] ends all subscriptions, and [Hub.Close] then ends all feeds and waits for
// their goroutines.
type Hub struct {
	// client is how the feeds reach NATS; nil in tests that decide without I/O.
	client *kvclient.Client
	// options are those given, with the defaults filled in.
	options Options
	// openReadings bounds the readings that have a consumer.
	openReadings *bound.Bound
	// activeReadings bounds those of them that are being read from NATS.
	activeReadings *bound.Bound
	// healings bounds the buckets that are compared with NATS at the same time.
	healings *bound.Bound
	// filterMemory bounds what subscriptions hold, in bytes.
	filterMemory *bound.Bound
	// pollLimit bounds how much of a log one poll looks at.
	pollLimit pollLimit
	// stats counts what the feeds do, those of hubs beside this one included.
	stats *Stats
	// isOfCaller reports whether the identity is that of a caller, not the gateway's own. What NATS
	// denies to a caller ends what it watches; what NATS denies to the gateway is the operator's to
	// fix, and is waited for.
	isOfCaller bool

	// ctx ends when the hub is closed.
	ctx context.Context
	// stop ends ctx. It is called with mu held, so that nothing is started afterwards.
	stop context.CancelFunc
	// work counts the goroutines of the feeds.
	work sync.WaitGroup

	// closed: subscriptions are to end with GoAway.
	closed atomic.Bool

	// mailboxLimit bounds the advisories that wait for one feed.
	mailboxLimit *bound.Bound
	// feedPlaces bounds the feeds that have a source.
	feedPlaces *bound.Bound
	// restPlaces bounds those that rest.
	restPlaces *bound.Bound
	// logMemory bounds the logs of all feeds, in bytes.
	logMemory *bound.Bound
	// keyMemory bounds the deleted keys that all feeds remember, in bytes.
	keyMemory *bound.Bound

	// copyMemory bounds the copies of all feeds, in bytes; nil if there are none.
	copyMemory *bound.Bound

	// digestPlaces bounds the sets of filters of which digests are kept.
	digestPlaces *bound.Bound

	// keeper keeps the feeds of chosen buckets; nil if there are none. Hubs beside this one have
	// none.
	keeper *keeper

	// mu guards the following, and the first fields of each feed.
	mu sync.Mutex
	// feeds has all of them, those that rest included.
	feeds map[kv.BucketName]*Feed
	// resting counts the feeds that have no source, since their bucket is missing.
	resting int
	// looking is not nil while a goroutine looks for the buckets of the feeds that rest. A token
	// in it asks for a look soon.
	looking chan struct{}
}

// Stats count what feeds do, for the metrics.
type Stats struct {
	// Subscriptions is how many there are now.
	Subscriptions atomic.Int64
	// Changes counts the entries that sources delivered.
	Changes atomic.Uint64
	// Restarts counts the losses of sources.
	Restarts atomic.Uint64
	// Snapshots counts the snapshots and replays that were read from NATS.
	Snapshots atomic.Uint64
	// MemorySnapshots counts those that were read from copies in memory.
	MemorySnapshots atomic.Uint64
	// Slow counts the subscriptions that were ended since they could not be caught up.
	Slow atomic.Uint64
	// Questions counts the questions to leaders about what is stored, beside the verifications.
	Questions atomic.Uint64
	// Fresh counts the reads that were answered from memory as new as the leader has it.
	Fresh atomic.Uint64
	// Fallbacks counts the reads that were to be, and were not, by the reason.
	Fallbacks [len(fallbackNames)]atomic.Uint64
	// Healing counts what was healed.
	Healing HealingStats
	// Copies counts what became of the copies in memory.
	Copies CopyStats
	// Resets counts the resets that subscriptions were told, in the order of resetReasons.
	Resets [len(resetReasons)]atomic.Uint64
}

// resetReasons are the reasons for which subscriptions are reset.
var resetReasons = [...]string{
	ReasonEpoch, ReasonAhead, ReasonHorizon, ReasonUnknownID, ReasonPurged, ReasonFilters,
	ReasonConfig, ReasonReverted,
}

// EachReset calls visit with each reason for which subscriptions are reset, and how often they
// were.
func (s *Stats) EachReset(visit func(reason string, count uint64)) {
	for i, reason := range resetReasons {
		visit(reason, s.Resets[i].Load())
	}
}

// countReset counts a reset. Reasons that are not among resetReasons are not counted.
func (s *Stats) countReset(reason string) {
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
	if h.keeper = newKeeper(h); h.keeper != nil {
		h.work.Go(h.keeper.run)
	}
	client.Observe(h.routeAdvisory)
	return h
}

// Places bound the feeds of the hubs of other identities together.
type Places struct {
	// feeds bounds those that have a source, and resting those that rest.
	feeds, resting *bound.Bound
}

// othersLinger is how long feeds of other identities stay after their last subscription. It is
// short, since a feed of another hub does not give way to a new one.
const othersLinger = 5 * time.Second

// NewPlaces makes places for so many feeds with a source. One client has at most half of them.
func NewPlaces(set *bound.Set, feeds int) *Places {
	source, rest := feedPlaceSpec(feeds), restPlaceSpec(feeds)
	source.Name, rest.Name = "passed-"+source.Name, "passed-"+rest.Name
	source.Of += ", by callers whose credential is passed through to NATS"
	rest.Of += ", of callers whose credential is passed through to NATS"
	return &Places{feeds: set.New(source), resting: set.New(rest)}
}

// Beside starts a hub for the client of another NATS identity. It has feeds of its own, with these
// places, and shares all other bounds with h.
func (h *Hub) Beside(client *kvclient.Client, places *Places) *Hub {
	other := &Hub{
		client:         client,
		options:        h.options,
		openReadings:   h.openReadings,
		activeReadings: h.activeReadings,
		healings:       h.healings,
		filterMemory:   h.filterMemory,
		pollLimit:      h.pollLimit,
		stats:          h.stats,
		isOfCaller:     true,

		mailboxLimit: h.mailboxLimit,
		feedPlaces:   places.feeds,
		restPlaces:   places.resting,
		logMemory:    h.logMemory,
		keyMemory:    h.keyMemory,
		copyMemory:   h.copyMemory,
		digestPlaces: h.digestPlaces,

		feeds: make(map[kv.BucketName]*Feed),
	}
	other.options.Linger = min(other.options.Linger, othersLinger)
	other.ctx, other.stop = context.WithCancel(context.Background())
	client.Observe(other.routeAdvisory)
	return other
}

// newHub returns a hub without a client.
func newHub(options Options) *Hub {
	h := &Hub{
		options:        options,
		openReadings:   openBound(options.Bounds, options.Snapshots),
		activeReadings: activeBound(options.Bounds, options.Snapshots),
		healings:       healBound(options.Bounds),
		filterMemory:   filterBound(options.Bounds),
		pollLimit:      defaultPollLimit,
		stats:          new(Stats),

		mailboxLimit: advisoryBound(options.Bounds),
		feedPlaces:   options.Bounds.New(feedPlaceSpec(options.Feeds)),
		restPlaces:   options.Bounds.New(restPlaceSpec(options.Feeds)),
		logMemory:    logBound(options.Bounds, options.AllLogs),
		keyMemory:    keyBound(options.Bounds),
		copyMemory:   copyBound(options.Bounds, options.Memory),
		digestPlaces: digestBound(options.Bounds),

		feeds: make(map[kv.BucketName]*Feed),
	}
	h.ctx, h.stop = context.WithCancel(context.Background())
	return h
}

// Stats returns the hub's counters.
func (h *Hub) Stats() *Stats { return h.stats }

// Size returns how many feeds have a source, or look for one, and how many bytes the logs of all
// feeds take.
func (h *Hub) Size() (feeds, logBytes int) {
	all := h.allFeeds()
	for _, f := range all {
		f.mu.Lock()
		logBytes += f.journal.log.bytes
		f.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, len(all)-h.resting), logBytes
}

// Reading returns how many snapshots and replays are open now.
func (h *Hub) Reading() int { return int(h.openReadings.Used()) }

// EndSubscriptions makes every subscription end with GoAway, for [ReasonShutdown]; new ones end at
// once.
func (h *Hub) EndSubscriptions() {
	h.closed.Store(true)
	for _, f := range h.allFeeds() {
		f.wakeAll()
	}
}

// Close ends all feeds and waits for them.
func (h *Hub) Close() {
	h.EndSubscriptions()
	h.mu.Lock()
	h.stop() // from here on nothing is started
	h.mu.Unlock()
	h.work.Wait()
}

// enter lets [Hub.Close] wait for a goroutine that is not the hub's, until it calls leave. It
// returns false if the hub is closed.
func (h *Hub) enter() (leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil {
		return nil, false
	}
	h.work.Add(1)
	return h.work.Done, true
}

// allFeeds returns the feeds that there are now.
func (h *Hub) allFeeds() []*Feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*Feed, 0, len(h.feeds))
	for _, f := range h.feeds {
		all = append(all, f)
	}
	return all
}

// routeAdvisory passes an advisory on to the feed that it concerns, or to all of them. It holds
// h.mu meanwhile, so that a feed which comes to rest either sees the advisory in its mailbox or is
// roused by it.
func (h *Hub) routeAdvisory(a kvclient.Advisory) {
	h.keeper.heard(a)
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.Kind == kvclient.SomethingDenied {
		for _, f := range h.feeds {
			f.source.requestVerify() // what is asked for then may be denied, too
		}
		return
	}
	if a.Kind == kvclient.Reconnected || a.Kind == kvclient.AdvisoriesMissed {
		for _, f := range h.feeds {
			h.passOnLocked(f, a)
		}
		h.lookSoonLocked()
		return
	}
	if f := h.feeds[a.Bucket]; f != nil {
		h.passOnLocked(f, a)
	}
}
