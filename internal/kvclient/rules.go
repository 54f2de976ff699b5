package kvclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What a time to live can be refused for.
var (
	// ErrTTLNotEnabled: the bucket has no limit_marker_ttl, which a time to live of single entries needs.
	ErrTTLNotEnabled = errors.New("the bucket has no times to live for single entries")
	// ErrTTLInvalid: the time to live is shorter than the server's unit, a second.
	ErrTTLInvalid = errors.New("a time to live is at least 1s")
)

// A TTLTooShortError tells that the server would raise a time to live to the bucket's limit_marker_ttl, as it does where the
// history is longer than 1.
type TTLTooShortError struct {
	Minimum time.Duration
}

func (e *TTLTooShortError) Error() string {
	return fmt.Sprintf("the time to live is below the bucket's limit_marker_ttl of %s", e.Minimum)
}

// writeRules are the settings of a stream that decide what can be written to it.
type writeRules struct {
	atomic     bool
	messageTTL bool
	markerTTL  time.Duration
	history    int64
	replicas   int
	memory     bool
}

func rulesOf(c *jetstream.StreamConfig) writeRules {
	return writeRules{
		atomic:     c.AllowAtomicPublish,
		messageTTL: c.AllowMsgTTL && c.SubjectDeleteMarkerTTL > 0,
		markerTTL:  c.SubjectDeleteMarkerTTL,
		history:    c.MaxMsgsPerSubject,
		replicas:   c.Replicas,
		memory:     c.Storage == jetstream.MemoryStorage,
	}
}

// toWrite asks the server for the bucket as it is now, and for the rules of the stream that its writes go to.
func (b *Bucket) toWrite(ctx context.Context) (*Bucket, writeRules, error) {
	current, info, err := b.client.look(ctx, b.name)
	if err != nil {
		return nil, writeRules{}, notSent(err)
	}
	if current.isMirror() {
		info = &streamInfoResponse{}
		subject := strings.Replace(current.originGet, "STREAM.MSG.GET.", "STREAM.INFO.", 1)
		if err := b.client.ask(ctx, b.client.point, subject, nil, info); err != nil {
			return nil, writeRules{}, notSent(bucketError(b.name, err))
		}
	}
	return current, rulesOf(&info.Config), nil
}

// checkTTL tells whether an entry can have that time to live; 0 stands for none.
func (r writeRules) checkTTL(ttl time.Duration) error {
	switch {
	case ttl == 0:
		return nil
	case !r.messageTTL:
		return ErrTTLNotEnabled
	case ttl < time.Second:
		return ErrTTLInvalid
	case r.history > 1 && ttl < r.markerTTL:
		return &TTLTooShortError{Minimum: r.markerTTL}
	}
	return nil
}

// ttlText is a time to live for the server, which counts whole seconds: an entry is to live no shorter than was asked.
func ttlText(ttl time.Duration) string {
	return strconv.FormatInt(int64((ttl+time.Second-1)/time.Second), 10) + "s"
}
