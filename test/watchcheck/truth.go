package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Recorder notes what a bucket republishes once it is stored, also what the history limit overwrites at once. No stream keeps
// that: it would refuse purges for their rollup header. Each life of the bucket republishes to a subject of its own. The
// subscription misses what is stored while the server has no connection to it; repair reads that from the bucket, where it
// is not overwritten yet.
type Recorder struct {
	conn         *nats.Conn
	js           jetstream.JetStream
	subscription *nats.Subscription

	changing sync.Mutex // the bucket's life, or reading what is missing of it

	mu       sync.Mutex
	bucket   Bucket
	repaired int
	failed   error
}

// NewRecorder subscribes over a connection of its own that comes back as fast as it can.
func NewRecorder(address, bucket string) (*Recorder, error) {
	r := &Recorder{bucket: Bucket{Name: bucket}}
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
	if r.subscription, err = r.conn.Subscribe("truth."+r.bucket.Name+".>", r.republished); err != nil {
		return err
	}
	if err := r.subscription.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return r.conn.Flush()
}

// destination is where the bucket's n-th life republishes to.
func destination(bucket string, n int) string { return fmt.Sprintf("truth.%s.%d.>", bucket, n) }

func (r *Recorder) republished(m *nats.Msg) {
	n, err := strconv.Atoi(strings.SplitN(m.Subject, ".", 4)[2])
	revision, err2 := strconv.ParseUint(last(m.Header, "Nats-Sequence"), 10, 64)
	previous, err3 := strconv.ParseUint(last(m.Header, "Nats-Last-Sequence"), 10, 64)
	at, err4 := time.Parse(time.RFC3339Nano, last(m.Header, "Nats-Time-Stamp"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if err = errors.Join(err, err2, err3, err4); err != nil {
		r.failed = err
		return
	}
	r.note(r.bucket.Lives[n], &Record{At: at, Previous: previous, Told: true, Size: len(m.Data),
		Change: Change{revision, r.key(last(m.Header, "Nats-Subject")), operation(m.Header), digest(m.Data)}})
}

func (r *Recorder) key(subject string) string { return subject[len("$KV."+r.bucket.Name+"."):] }

// note makes no claim about a revision that stood for two changes.
func (r *Recorder) note(l *Life, record *Record) {
	if known := l.Records[record.Revision]; known != nil && known.Change != record.Change {
		l.Rewritten[record.Revision], l.Unknown[record.Revision] = true, true
	}
	l.Records[record.Revision] = record
	l.End = max(l.End, record.Revision)
}

// current is the life that the bucket has; nil while it has none.
func (r *Recorder) current() *Life {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.bucket.last(); l.Deleted.IsZero() && l.Epoch != "" {
		return l
	}
	return nil
}

// repair reads the revisions that are missing so far.
func (r *Recorder) repair(ctx context.Context) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	return r.each(ctx, func(l *Life, revision uint64) bool { return l.Records[revision] == nil }, nil)
}

// each gets the wanted messages that the stream still holds and notes them.
func (r *Recorder) each(ctx context.Context, wanted func(*Life, uint64) bool, held func(uint64)) error {
	s, err := r.js.Stream(ctx, "KV_"+r.bucket.Name)
	if err != nil {
		return err
	}
	r.mu.Lock()
	l := r.bucket.last()
	r.mu.Unlock()
	want := func(revision uint64) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return wanted(l, revision)
	}
	for n := uint64(1); n <= s.CachedInfo().State.LastSeq; n++ {
		if !want(n) {
			continue
		}
		m, err := s.GetMsg(ctx, n, jetstream.WithGetMsgSubject("$KV."+r.bucket.Name+".>")) // or what is next
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if n = m.Sequence; !want(n) {
			continue
		}
		r.read(l, m)
		if held != nil {
			held(n)
		}
	}
	return nil
}

func (r *Recorder) read(l *Life, m *jetstream.RawStreamMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := &Record{At: m.Time, Size: len(m.Data), Change: Change{m.Sequence, r.key(m.Subject), operation(m.Header), digest(m.Data)}}
	known := l.Records[m.Sequence]
	if known == nil {
		r.repaired++
	} else if known.Change == record.Change {
		return // with less than the republished one tells
	}
	r.note(l, record)
}

// Finish tells what was ever stored, what the bucket holds and which revisions nobody knows any more. Nothing may be written any more.
func (r *Recorder) Finish(ctx context.Context) (*Bucket, error) {
	if err := r.conn.FlushTimeout(5 * time.Second); err != nil {
		return nil, err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	kept := map[uint64]bool{}
	if err := r.each(ctx, func(*Life, uint64) bool { return true }, func(n uint64) { kept[n] = true }); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range kept {
		r.bucket.last().Records[n].Kept = true
	}
	for _, l := range r.bucket.Lives {
		for revision := uint64(1); revision <= l.End; revision++ {
			if l.Records[revision] == nil {
				l.Unknown[revision] = true
			}
		}
		maps.DeleteFunc(l.Records, func(revision uint64, _ *Record) bool { return l.Unknown[revision] })
		l.settle()
	}
	return &r.bucket, r.failed
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

// digest stands for a value: itself, unless it is long.
func digest(value []byte) string {
	if len(value) <= 64 {
		return string(value)
	}
	return fmt.Sprintf("%d bytes %x", len(value), sha256.Sum256(value))
}
