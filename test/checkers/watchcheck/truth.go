package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
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

// Recorder records what a bucket republishes when it has stored it, also what the history limit
// overwrites at once. The recorder keeps that itself: a stream that captured it would refuse
// purges, for their rollup header. Each life of the bucket republishes to a subject of its own. The
// subscription misses what is stored while the recorder has no connection; repair reads that from
// the bucket, unless it has been overwritten.
type Recorder struct {
	conn         *nats.Conn
	js           jetstream.JetStream
	subscription *nats.Subscription

	of       string // The bucket that republishes the messages.
	keepsAll bool   // The stream does not act on times to live in messages.

	// changing is held while the bucket gets another life, and while messages are read from it.
	changing sync.Mutex

	mu       sync.Mutex // guards what follows
	bucket   Bucket
	repaired int
	failed   error
}

// NewRecorder subscribes over a connection of its own, which comes back as fast as it can. The
// messages of a mirror are those that the bucket of republishes.
func NewRecorder(address, bucket, of string) (*Recorder, error) {
	r := &Recorder{bucket: Bucket{Name: bucket}, of: of}
	back := make(chan struct{}, 1)
	var err error
	r.conn, err = nats.Connect("nats://"+address, nats.MaxReconnects(-1),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
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
			_ = r.repair(ctx) // What this cannot read, the last repair reads, or nothing does.
			cancel()
		}
	}()
	return r, r.subscribe()
}

func (r *Recorder) subscribe() (err error) {
	if r.subscription, err = r.conn.Subscribe("truth."+r.of+".>", r.republished); err != nil {
		return err
	}
	if err := r.subscription.SetPendingLimits(-1, -1); err != nil {
		return err
	}
	return r.conn.Flush()
}

// destination returns where the bucket's n-th life republishes to.
func destination(bucket string, n int) string { return fmt.Sprintf("truth.%s.%d.>", bucket, n) }

// republished notes a message that the bucket has stored.
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
	life := r.bucket.republishedTo(n, at)
	if life == nil || !life.Lost.IsZero() && at.After(life.Lost) {
		return // It was stored after the server was asked to end, and is lost with the rest.
	}
	change := Change{revision, r.key(last(m.Header, "Nats-Subject")), operation(m.Header),
		digest(m.Data)}
	r.note(life, &Record{At: at, Previous: previous, Told: true, Size: len(m.Data),
		TTL: ttl(m.Header), Change: change})
}

// key returns the key that a subject names. The subjects in a mirror are those of its origin.
func (r *Recorder) key(subject string) string { return strings.SplitN(subject, ".", 3)[2] }

// ttl returns the time to live that a message was stored with, 0 for none.
func ttl(h nats.Header) time.Duration {
	d, err := time.ParseDuration(last(h, "Nats-TTL"))
	if err != nil {
		return 0
	}
	return d.Truncate(time.Second)
}

// note adds a record to a life. A revision that was given to two changes becomes unknown.
func (r *Recorder) note(l *Life, record *Record) {
	known := l.Records[record.Revision]
	inherited := known != nil && known.At.Before(l.Asked) && !record.At.Before(l.Asked)
	if known != nil && known.Change != record.Change && !inherited {
		l.Rewritten[record.Revision], l.Unknown[record.Revision] = true, true
	}
	l.Records[record.Revision] = record
	l.End = max(l.End, record.Revision)
}

// current returns the life that the bucket has, or nil while it has none.
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
	missing := func(l *Life, revision uint64) bool { return l.Records[revision] == nil }
	return r.each(ctx, missing, nil)
}

// each reads the wanted messages that the stream still holds and notes them. If held is not nil, it
// is called with the revision of each.
func (r *Recorder) each(ctx context.Context, wanted func(*Life, uint64) bool,
	held func(uint64)) error {
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
		m, err := r.next(ctx, n)
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

// next reads the first message from a revision on. It asks the leader, since a mirror that answers
// direct gets in the bucket's name may hold what the bucket no longer has.
func (r *Recorder) next(ctx context.Context, from uint64) (*jetstream.RawStreamMsg, error) {
	request := fmt.Appendf(nil, `{"seq":%d,"next_by_subj":"$KV.>"}`, from)
	m, err := r.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET.KV_"+r.bucket.Name, request)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *struct{ Code int }
		Message struct {
			Subject    string
			Seq        uint64
			Time       time.Time
			Hdrs, Data []byte
		}
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, err
	}
	switch {
	case answer.Error != nil && answer.Error.Code == 404:
		return nil, jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return nil, fmt.Errorf("read revision %d of %s: code %d",
			from, r.bucket.Name, answer.Error.Code)
	}
	found := &jetstream.RawStreamMsg{Subject: answer.Message.Subject,
		Sequence: answer.Message.Seq, Time: answer.Message.Time, Data: answer.Message.Data}
	if len(answer.Message.Hdrs) > 0 {
		found.Header, err = nats.DecodeHeadersMsg(answer.Message.Hdrs)
	}
	return found, err
}

// read notes a message that was read from the stream.
func (r *Recorder) read(l *Life, m *jetstream.RawStreamMsg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := &Record{At: m.Time, Size: len(m.Data), TTL: ttl(m.Header), Change: Change{
		m.Sequence, r.key(m.Subject), operation(m.Header), digest(m.Data)}}
	known := l.Records[m.Sequence]
	if known == nil {
		r.repaired++
	} else if known.Change == record.Change {
		return // The republished message said more.
	}
	r.note(l, record)
}

// Finish returns what was ever stored, with what the bucket still holds, and which revisions nobody
// knows. Nothing may be written any more.
func (r *Recorder) Finish(ctx context.Context, lags []Window) (*Bucket, error) {
	if err := r.conn.FlushTimeout(5 * time.Second); err != nil {
		return nil, err
	}
	r.changing.Lock()
	defer r.changing.Unlock()
	kept := map[uint64]bool{}
	everything := func(*Life, uint64) bool { return true }
	if err := r.each(ctx, everything, func(n uint64) { kept[n] = true }); err != nil {
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
		maps.DeleteFunc(l.Records, func(revision uint64, _ *Record) bool {
			return l.Unknown[revision]
		})
		l.Lags = lags
		l.settle()
	}
	return &r.bucket, r.failed
}

// last returns the server's own value of a header. The server appends it to those that a publisher
// sent under the same name.
func last(h nats.Header, name string) string {
	if all := h[name]; len(all) > 0 {
		return all[len(all)-1]
	}
	return ""
}

// operation returns the operation that a message's headers name.
func operation(h nats.Header) string {
	if last(h, "Nats-Marker-Reason") == "MaxAge" {
		return "expire"
	}
	switch last(h, "KV-Operation") {
	case "DEL":
		return "delete"
	case "PURGE":
		return "purge"
	}
	return "put"
}

// digest returns what represents a value: the value itself, or a hash if it is long.
func digest(value []byte) string {
	if len(value) <= 64 {
		return string(value)
	}
	return fmt.Sprintf("%d bytes %x", len(value), sha256.Sum256(value))
}
