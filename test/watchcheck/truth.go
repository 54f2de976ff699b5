package main

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// createBucket makes a bucket whose changes the server republishes once they are stored, also those that the history limit
// overwrites at once. No stream keeps them: it would refuse purges for their rollup header.
func createBucket(ctx context.Context, js jetstream.JetStream, bucket string, history uint8) error {
	_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, History: history,
		RePublish: &jetstream.RePublish{Source: ">", Destination: "truth." + bucket + ".>"}})
	return err
}

// Recorder notes what a bucket republishes. A subscription misses what is stored while the server has no connection to it;
// repair reads that from the stream, where it is not overwritten yet.
type Recorder struct {
	bucket string
	conn   *nats.Conn
	js     jetstream.JetStream

	subscription *nats.Subscription

	mu       sync.Mutex
	truth    Truth
	repaired int
	rewrote  int // revisions that a crash took back and that were given again
	failed   error
}

// NewRecorder subscribes over a connection of its own that comes back as fast as it can.
func NewRecorder(address, bucket string) (*Recorder, error) {
	r := &Recorder{bucket: bucket, truth: Truth{ByRevision: map[uint64]Change{}, Previous: map[uint64]uint64{}, Unknown: map[uint64]bool{}}}
	back := make(chan struct{}, 1)
	var err error
	r.conn, err = nats.Connect("nats://"+address, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ReconnectHandler(func(*nats.Conn) {
			select {
			case back <- struct{}{}:
			default:
			}
		}))
	if err != nil {
		return nil, err
	}
	if r.js, err = jetstream.New(r.conn); err != nil {
		return nil, err
	}
	go func() {
		for range back {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_ = r.repair(ctx) // what this cannot reach, the last one can, or nothing
			cancel()
		}
	}()
	return r, r.subscribe()
}

func (r *Recorder) subscribe() (err error) {
	if r.subscription, err = r.conn.Subscribe("truth."+r.bucket+".>", r.republished); err != nil {
		return err
	}
	if err := r.subscription.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return r.conn.Flush()
}

func (r *Recorder) republished(m *nats.Msg) {
	revision, err := strconv.ParseUint(last(m.Header, "Nats-Sequence"), 10, 64)
	previous, err2 := strconv.ParseUint(last(m.Header, "Nats-Last-Sequence"), 10, 64)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err = errors.Join(err, err2); err != nil {
		r.failed = err
		return
	}
	r.note(Change{revision, r.key(last(m.Header, "Nats-Subject")), operation(m.Header), string(m.Data)})
	r.truth.Previous[revision] = previous
}

func (r *Recorder) key(subject string) string { return subject[len("$KV."+r.bucket+"."):] }

// note makes no claim about a revision that stood for two changes.
func (r *Recorder) note(c Change) {
	if known, ok := r.truth.ByRevision[c.Revision]; ok && known != c {
		r.rewrote++
		r.truth.Unknown[c.Revision] = true
	}
	r.truth.ByRevision[c.Revision] = c
}

// repair reads the revisions that are missing so far.
func (r *Recorder) repair(ctx context.Context) error {
	return r.each(ctx, func(revision uint64) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, known := r.truth.ByRevision[revision]
		return !known
	}, nil)
}

// each gets the wanted messages that the stream still holds and notes them.
func (r *Recorder) each(ctx context.Context, wanted func(uint64) bool, held func(uint64)) error {
	s, err := r.js.Stream(ctx, "KV_"+r.bucket)
	if err != nil {
		return err
	}
	for n := uint64(1); n <= s.CachedInfo().State.LastSeq; n++ {
		if !wanted(n) {
			continue
		}
		m, err := s.GetMsg(ctx, n)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		r.mu.Lock()
		if _, known := r.truth.ByRevision[n]; !known {
			r.repaired++
		}
		r.note(Change{n, r.key(m.Subject), operation(m.Header), string(m.Data)})
		r.mu.Unlock()
		if held != nil {
			held(n)
		}
	}
	return nil
}

// Finish tells what was ever stored, what the bucket holds and which revisions nobody knows any more.
func (r *Recorder) Finish(ctx context.Context) (Truth, error) {
	if err := r.conn.FlushTimeout(5 * time.Second); err != nil {
		return Truth{}, err
	}
	kept := map[uint64]bool{}
	if err := r.each(ctx, func(uint64) bool { return true }, func(n uint64) { kept[n] = true }); err != nil {
		return Truth{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.truth
	t.ByRevision, t.Kept = maps.Clone(t.ByRevision), kept
	var end uint64
	for revision := range t.ByRevision {
		end = max(end, revision)
	}
	for revision := uint64(1); revision <= end; revision++ {
		if _, known := t.ByRevision[revision]; !known {
			t.Unknown[revision] = true
		}
	}
	for revision := range t.Unknown {
		delete(t.ByRevision, revision)
		delete(t.Kept, revision)
	}
	return t, r.failed
}

// last is the server's own value of a header: it appends to what a publisher may have sent under the same name.
func last(h nats.Header, name string) string {
	if all := h[name]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

func operation(h nats.Header) string {
	switch last(h, "KV-Operation") {
	case "DEL":
		return "delete"
	case "PURGE":
		return "purge"
	}
	return "put"
}
