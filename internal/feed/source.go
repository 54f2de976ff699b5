package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/kvclient"
)

const (
	quiet      = 20 * time.Millisecond   // without a change, after which the position is compared with the stream's last revision
	probeEvery = 5 * time.Second         // however quiet it is: advisories can be missed
	minBackoff = 50 * time.Millisecond   //
	maxBackoff = 1500 * time.Millisecond // first event within 2 s of the source's return
	gather     = 50 * time.Millisecond   // purges come one for each key: after so long without another that was all
	maxGather  = time.Second             // however many there are
	askTimeout = 2 * time.Second
	// A question that a node took with it when it went is not waited for as long: the first after a loss is asked again sooner.
	minAskTimeout = askTimeout / 4
)

// errRestart ends a source whose bucket is not what it was.
var errRestart = errors.New("the bucket has changed")

// errDropped ends a source that was told of more than there was room for.
var errDropped = fmt.Errorf("%w: advisories are dropped", kvclient.ErrUnavailable)

// run keeps the source alive until the feed ends.
func (f *Feed) run(ctx context.Context) {
	backoff, patience := minBackoff, askTimeout
	for ctx.Err() == nil {
		started := time.Now()
		reached, err := f.follow(ctx, patience)
		if time.Since(started) > maxBackoff {
			backoff = minBackoff
		}
		if ctx.Err() != nil {
			return
		}
		if patience = min(2*patience, askTimeout); reached {
			patience = minAskTimeout
		}
		if errors.Is(err, errRestart) {
			continue
		}
		level := zerolog.DebugLevel
		if f.isLive() && !isMissing(err) && f.hub.client.Connected() {
			level = zerolog.WarnLevel // a lost connection is logged by the client
		}
		f.sourceLost(err)
		if isMissing(err) && f.hub.rest(f) {
			return
		}
		f.hub.stats.Restarts.Add(1)
		f.hub.options.Logger.WithLevel(level).Str("bucket", f.name.String()).Err(err).
			Msg("feed lost its source")
		if f.rest(ctx, backoff/2+rand.N(backoff/2)) {
			backoff = minBackoff // the server is there again; the other connections may need a moment more
		} else {
			backoff = min(2*backoff, maxBackoff)
		}
	}
}

// rest waits, or until the server tells something of the bucket, which it returns.
func (f *Feed) rest(ctx context.Context, wait time.Duration) (told bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-f.mail.arrived:
		a, told := f.mail.take()
		if told {
			_ = f.heard(a) // the source starts anew in any case
		}
		return told
	}
	return false
}

// follow reads the stream until the source is lost or the bucket has changed. Each of its first questions waits for as long as patience
// for an answer; reached tells that they were answered.
func (f *Feed) follow(ctx context.Context, patience time.Duration) (reached bool, err error) {
	hearing := f.hub.client.Hearing()
	bucket, s, err := f.askWithin(ctx, patience)
	if err != nil {
		return false, err
	}
	f.hearOver(hearing)
	if err := f.recognise(ctx, bucket, s, patience); err != nil {
		return false, err
	}
	position, _ := f.startAt(bucket, s)
	asked, cancel := context.WithTimeout(ctx, patience)
	tail, err := bucket.Tail(asked, position)
	cancel()
	if err != nil {
		return false, err
	}
	defer tail.Close()
	switch now := f.hub.client.Hearing(); {
	case now == hearing:
	case now.SameConnection(hearing):
		return true, errDropped // where that goes on, each question adds to it
	default:
		return true, errRestart // what was removed since the stream was asked may not have been told
	}
	if !f.doubt.IsZero() {
		if err := f.reassure(ctx, patience); err != nil {
			return true, err
		}
		f.goOn()
	}
	f.lastWord = tail.Heard
	f.setState(live, nil)
	f.hub.found(f)
	return true, f.watch(ctx, tail.C, tail.Err, looks{f.check, f.askLast})
}

// reassure finds out, after a loss, whether the log may go on. It asks the stream once more: on a new connection the server may have
// answered before, on another one, and heard of the subscriptions later. The consumer's answer came behind them.
func (f *Feed) reassure(ctx context.Context, patience time.Duration) error {
	bucket, s, err := f.askWithin(ctx, patience)
	if err != nil {
		return err
	}
	var stored time.Time
	if f.mark.revision > 0 {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if stored, err = bucket.StoredAt(ctx, f.mark.revision); err != nil {
			return err
		}
	}
	if !f.trusts(s, stored) {
		return errRestart
	}
	return nil
}

func (f *Feed) ask(ctx context.Context) (*kvclient.Bucket, kvclient.StreamState, error) {
	return f.askWithin(ctx, askTimeout)
}

func (f *Feed) askWithin(ctx context.Context, patience time.Duration) (*kvclient.Bucket, kvclient.StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f.hub.client.State(ctx, f.name)
}

// looks are the ways in which the source's goroutine looks at the stream.
type looks struct {
	// check compares all that the feed knows with the stream. Nothing is taken meanwhile.
	check func(context.Context) error
	// last asks for the stream's state beside the changes that come; see [inquiry].
	last func(context.Context) (kvclient.StreamState, error)
}

// watch takes what the source delivers, and looks now and then whether the position is what it
// seems. Lost says why there is no more.
func (f *Feed) watch(
	ctx context.Context, arrivals <-chan kvclient.Arrival, lost func() error, look looks,
) error {
	check := time.NewTimer(quiet)
	defer check.Stop()
	checking := true // the check has its time; only changes put it off
	later := func() {
		check.Reset(quiet)
		checking = true
	}
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	inquiry := newInquiry(f, look.last)
	defer inquiry.again.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a, ok := <-arrivals:
			if !ok {
				return lost()
			}
			f.clear = f.clear.Add(a.Idle)
			f.take(a.Entries)
			if f.void != "" {
				return f.disown(f.void)
			}
			later()
		case <-f.checkSoon:
			if !checking {
				later()
			}
		case <-f.mail.arrived:
			a, told := f.mail.take()
			if !told {
				continue
			}
			if err := f.heard(a); err != nil {
				f.gather(ctx)
				return err
			}
		case a := <-inquiry.answers:
			if err := inquiry.answered(a); err != nil {
				return err
			}
		case <-inquiry.again.C:
		case <-check.C:
			checking = false
			if err := look.check(ctx); err != nil {
				return err
			}
		case <-probe.C:
			if err := look.check(ctx); err != nil {
				return err
			}
		}
		inquiry.send(ctx)
	}
}

// gather waits for the other purges of the same sweep, so that all of them are one reset.
func (f *Feed) gather(ctx context.Context) {
	if f.resetFor != ReasonPurged {
		return
	}
	more, enough := time.NewTimer(gather), time.NewTimer(maxGather)
	defer more.Stop()
	defer enough.Stop()
	for {
		select {
		case <-f.mail.arrived:
			switch a, told := f.mail.take(); {
			case !told:
			case a.Kind == kvclient.StreamPurged:
				more.Reset(gather)
			default:
				_ = f.heard(a) // the source starts anew in any case
			}
		case <-more.C:
			return
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// check compares the position with the stream, and passes over revisions beyond it that are gone. What comes meanwhile waits.
func (f *Feed) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if f.hub.client.Hearing() != f.hearing {
		return errRestart // advisories were dropped since, or the connection is another
	}
	f.heardAt = f.now()
	q := f.question()
	bucket, s, err := f.ask(ctx)
	if err != nil {
		return err
	}
	if beyond, err := f.compare(q, s); !beyond {
		return err
	}
	position := q.position
	next, err := bucket.NextRevision(ctx, position)
	if err != nil {
		return err
	}
	if next > 0 {
		f.soon()
		return f.overdue(position)
	}
	if s.Lifetime > 0 {
		switch stored, err := bucket.StoredAt(ctx, s.Last); {
		case err != nil:
			return err
		case stored.IsZero():
			return f.disown(ReasonHorizon) // it may have been a marker, which vanished before it was read
		} // else it is of another subject, as a stream with sources has them
	}
	f.advance(s.Last, kvclient.CheckOf(s.LastTime))
	f.soon()
	return nil
}
