package handlers

import (
	"context"
	"strconv"
	"sync"

	"kvgateway/internal/bound"
	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// listFallbacks are the lists of buckets in memory that the server has to answer, since memory lags
// behind it. That happens to all lists of a bucket at once, and mostly when the server is in
// trouble, which thousands of lists would bury. So few of them are read at a time for each bucket,
// and lists that ask for the same share one read. Others are refused at once.
//
// A read is shared only by requests that came before it began, since it would miss what was stored
// before the others came. So of the same list at most two reads exist: one under way, and one that
// begins once that has ended, for all that have come since.
//
//	state    begins when                        a new request may join
//	-------  ---------------------------------  ----------------------
//	waiting  it is made by its first request    yes
//	begun    the read before it has ended       no
//	ended    it has its result, or its last     no
//	         request has left
type listFallbacks struct {
	// reads bounds the reads of each bucket.
	reads *bound.Bound
	// requests bounds the requests that wait for them.
	requests *bound.Bound
	// exports bounds the exports of each bucket.
	exports *bound.Bound

	// mu guards newest, and what sharedLists say that it guards.
	mu sync.Mutex
	// newest has the newest read of each list.
	newest map[sharedListKey]*sharedList
}

const (
	// fallbackReads is how many lists of a bucket the server is asked for at a time.
	fallbackReads = 4
	// fallbackRequests is how many requests may wait for the lists of a bucket.
	fallbackRequests = 32
	// maxFallbacks is for how many buckets there are so many at once.
	maxFallbacks = 32
)

// newListFallbacks makes the bounds.
func newListFallbacks(set *bound.Set) *listFallbacks {
	const atLimit = "others are refused with 503 at once, so that they do not bury a server in " +
		"trouble"
	perBucket := func(name, of string, limit int64) *bound.Bound {
		return set.New(bound.Spec{
			Name:     name,
			Of:       of,
			Unit:     bound.Places,
			Limit:    limit * maxFallbacks,
			PerOwner: limit,
			OwnerIs:  "bucket",
			AtLimit:  atLimit,
		})
	}
	return &listFallbacks{
		reads: perBucket("list-fallbacks", "lists of buckets in memory that are read from NATS, "+
			"since memory lags behind it; the same list is read once for all that ask for it",
			fallbackReads),
		requests: perBucket("list-fallback-waits", "requests that wait for such a list",
			fallbackRequests),
		exports: perBucket("export-fallbacks", "exports of buckets in memory that are read from "+
			"NATS, since memory lags behind it", fallbackReads),
		newest: make(map[sharedListKey]*sharedList),
	}
}

// A sharedListKey is what the requests that share a read have in common.
type sharedListKey struct {
	// client is the NATS identity, and bucket the bucket.
	client *kvclient.Client
	bucket kv.BucketName
	// list says what is listed, and how.
	list string
}

// A sharedList is a read that several requests may wait for.
type sharedList struct {
	// begun says that it is under way, or has ended; mu of listFallbacks guards it.
	begun bool
	// waiting counts the requests that wait for it; mu of listFallbacks guards it.
	waiting int
	// cancel ends it.
	cancel context.CancelFunc
	// place is what it holds of the bound of reads.
	place bound.Hold
	// done is closed when it has ended, and result and err are set.
	done   chan struct{}
	result any
	err    error
}

// fallbackOwner returns whose share of the bounds a list takes.
func (x *exchange) fallbackOwner(bucket kv.BucketName) string {
	return x.store.account() + "/" + bucket.String()
}

// takeExport takes a place for an export, which must be released.
func (f *listFallbacks) takeExport(x *exchange, bucket kv.BucketName) (*bound.Hold, error) {
	place := new(bound.Hold)
	if !f.exports.Try(place, x.fallbackOwner(bucket), 1, nil) {
		return nil, f.exports.Refuse()
	}
	return place, nil
}

// shareList returns what read returns, which is called once for all requests that ask for the same
// list at the same time. The result belongs to all of them. It returns a *[bound.FullError] if too
// many lists of the bucket are being read. While a request waits, it is not at work.
func shareList[T any](
	x *exchange, f *listFallbacks, bucket kv.BucketName, list string,
	read func(context.Context) (T, error),
) (result T, err error) {
	var place bound.Hold
	owner := x.fallbackOwner(bucket)
	if !f.requests.Try(&place, owner, 1, nil) {
		return result, f.requests.Refuse()
	}
	defer place.Release()
	key := sharedListKey{x.store.client, bucket, list}
	shared, err := f.join(x, key, owner, func(ctx context.Context) (any, error) {
		return read(ctx)
	})
	if err != nil {
		return result, err
	}
	defer f.leave(key, shared)
	turn := bound.TurnOf(x.context())
	turn.Pause()
	select {
	case <-shared.done:
	case <-x.context().Done():
		return result, x.context().Err()
	}
	if err := turn.Begin(x.context()); err != nil { // all go on at the same moment
		return result, err
	}
	if shared.err != nil {
		return result, shared.err
	}
	return shared.result.(T), nil
}

// join returns the read that a request shares, and makes it if there is none.
func (f *listFallbacks) join(
	x *exchange, key sharedListKey, owner string, read func(context.Context) (any, error),
) (*sharedList, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.newest[key]
	if before != nil && !before.begun && before.waiting > 0 {
		before.waiting++
		return before, nil
	}
	shared := &sharedList{done: make(chan struct{}), waiting: 1}
	if !f.reads.Try(&shared.place, owner, 1, nil) {
		return nil, f.reads.Refuse()
	}
	// The read has the owner of its first request, and no turn: it belongs to several requests.
	ctx := bound.WithOwner(context.WithoutCancel(x.context()), x.owner())
	ctx, shared.cancel = context.WithCancel(ctx)
	f.newest[key] = shared
	go f.run(ctx, key, shared, before, read)
	return shared, nil
}

// run reads once the read before has ended.
func (f *listFallbacks) run(
	ctx context.Context, key sharedListKey, shared, before *sharedList,
	read func(context.Context) (any, error),
) {
	defer shared.cancel()
	defer shared.place.Release()
	if before != nil {
		select {
		case <-before.done:
		case <-ctx.Done():
		}
	}
	f.mu.Lock()
	shared.begun = true
	f.mu.Unlock()
	shared.result, shared.err = read(ctx)
	f.mu.Lock()
	if f.newest[key] == shared {
		delete(f.newest, key)
	}
	f.mu.Unlock()
	close(shared.done)
}

// leave notes that a request does not wait any more. When nobody does, the read ends.
func (f *listFallbacks) leave(key sharedListKey, shared *sharedList) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if shared.waiting--; shared.waiting == 0 {
		shared.cancel()
		if f.newest[key] == shared {
			delete(f.newest, key)
		}
	}
}

// listName returns a text that is the same for lists that may share a read, and for no others. Of
// the parts only the last may have any bytes; the others have no control characters.
func listName(kind string, options kvclient.ReadOptions, parts ...string) string {
	name := strconv.AppendUint([]byte(kind+"\x00"), uint64(options.Consistency), 10)
	name = options.MinRevision.Append(append(name, '\x00'))
	name = strconv.AppendInt(append(name, '\x00'), int64(options.Wait), 10)
	for _, part := range parts {
		name = append(append(name, '\x00'), part...)
	}
	return string(name)
}
