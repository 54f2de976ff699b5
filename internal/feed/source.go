package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"

	"kvgateway/internal/kv"
	"kvgateway/internal/kvclient"
)

// This file is the goroutine of a source: it connects, receives, verifies, and begins again.

const (
	// verifyDelay is how long after the last change the feed is compared with its stream.
	verifyDelay = 20 * time.Millisecond
	// verifyEvery is how often it is compared in any case, since advisories can be missed.
	verifyEvery = 5 * time.Second
	// minBackoff is the pause after the first loss of a source.
	minBackoff = 50 * time.Millisecond
	// maxBackoff bounds the pause, so that the first event comes within 2 s of the source's
	// return.
	maxBackoff = 1500 * time.Millisecond
	// askTimeout is how long the answer to a question is waited for.
	askTimeout = 2 * time.Second
	// minAskTimeout is how long it is waited for after a loss, at first. The node that failed may
	// have received the question and lost it, so the first one is asked again sooner.
	minAskTimeout = askTimeout / 4
)

// errRestart ends a source that has to start anew at once, since the bucket is not what it was.
var errRestart = errors.New("the bucket has changed")

// errAdvisoriesDropped ends a source whose advisories found no room in the client.
var errAdvisoriesDropped = fmt.Errorf("%w: advisories are dropped", kv.ErrUnavailable)

// A source reads the stream of a feed's bucket: it keeps one pull consumer (a [kvclient.Tail]) for
// all subscriptions, and compares the feed with the stream. It asks the stream, hands what comes to
// the journal and the audit, wakes who is concerned, and carries the audit's verdicts out.
//
// It is one goroutine (run), which ends when the feed rests or is dropped, and is started again
// when the feed is roused. Its fields survive that. Other goroutines reach it by its mail and by
// verifySoon and askSoon (postAdvisory, requestVerify and requestQuestion). All other methods are
// for its own goroutine, and take the feed's lock where they need it.
type source struct {
	// feed is the one that it reads for.
	feed *Feed
	// mail holds advisories until the goroutine handles them.
	mail *mailbox
	// verifySoon has a token while a verification was asked for; its capacity is 1.
	verifySoon chan struct{}
	// askSoon has a token while callers wait for a question to be sent; its capacity is 1.
	askSoon chan struct{}

	// The following belong to the goroutine, so that no lock guards them.

	// audit is what the source needs to judge what it sees.
	audit audit
	// lastHeard returns when the stream said something last. It can be asked after the source was
	// lost, too.
	lastHeard func() time.Time
	// truth is where it finds what the stream has; nil before the first start.
	truth truth
	// purged has the purges that have been reported and are to be healed.
	purged []kvclient.Advisory
	// toWake is what deliver is to call for the entries that arrived. Its array is used again.
	toWake []func()
}

// newSource returns the source of a feed, which has yet to be run.
func newSource(f *Feed) *source {
	return &source{
		feed:       f,
		mail:       newMailbox(f.hub.mailboxLimit),
		verifySoon: make(chan struct{}, 1),
		askSoon:    make(chan struct{}, 1),
		lastHeard:  time.Now,
	}
}

// run keeps the source alive until the feed ends or rests.
func (src *source) run(ctx context.Context) {
	f := src.feed
	backoff, patience := minBackoff, askTimeout
	for ctx.Err() == nil {
		started := time.Now()
		reached, err := src.readStream(ctx, patience)
		if time.Since(started) > maxBackoff {
			backoff = minBackoff
		}
		if ctx.Err() != nil {
			return
		}
		patience = min(2*patience, askTimeout)
		if reached {
			patience = minAskTimeout
		}
		if errors.Is(err, errRestart) {
			continue
		}
		level := zerolog.DebugLevel
		if f.isLive() && !isMissing(err) && f.hub.client.Connected() {
			level = zerolog.WarnLevel // the client itself logs a lost connection
		}
		src.noteLost(err)
		if f.hub.isOfCaller && isDenied(err) {
			f.dismissAll(ReasonPermissions)
		}
		if isMissing(err) && f.hub.restFeed(f) {
			return
		}
		f.hub.stats.Restarts.Add(1)
		f.hub.options.Logger.WithLevel(level).Str("bucket", f.name.String()).Err(err).
			Msg("feed lost its source")
		// #nosec G404 -- it spreads retries, and is no secret
		if src.pauseForRetry(ctx, backoff/2+rand.N(backoff/2)) {
			// The server is there again; the other connections may need a moment more.
			backoff = minBackoff
		} else {
			backoff = min(2*backoff, maxBackoff)
		}
	}
}

// pauseForRetry waits before the next start. It reports whether an advisory of the bucket has ended
// the wait.
func (src *source) pauseForRetry(ctx context.Context, wait time.Duration) (ok bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-src.mail.arrived:
		advisory, some := src.mail.pop()
		if some {
			_ = src.handleAdvisory(advisory) // the source starts anew in any case
		}
		return some
	}
	return false
}

// readStream reads the stream until the source is lost or the bucket has changed. Each of its
// first questions waits for as long as patience for an answer; reached reports that they were
// answered.
func (src *source) readStream(ctx context.Context, patience time.Duration) (
	reached bool, err error,
) {
	f := src.feed
	hearing := f.hub.client.AdvisoryPeriod()
	bucket, s, err := f.askWithin(ctx, patience)
	if err != nil {
		return false, err
	}
	src.noteAdvisoryPeriod(hearing)
	if err := src.recogniseStream(ctx, bucket, s, patience); err != nil {
		return false, err
	}
	revision, _ := src.startAt(bucket, s)
	asked, cancel := context.WithTimeout(ctx, patience)
	tail, err := bucket.Tail(asked, revision)
	cancel()
	if err != nil {
		return false, err
	}
	defer tail.Close()
	switch now := f.hub.client.AdvisoryPeriod(); {
	case now == hearing:
	case now.SameConnection(hearing):
		// If more and more is dropped, asking again at once would only add to it.
		return true, errAdvisoriesDropped
	default:
		// What was removed since the stream was asked may not have been reported.
		return true, errRestart
	}
	src.truth = leaderTruth{ctx, f, bucket}
	lost := !src.audit.missedSince.IsZero()
	if lost || src.audit.doubt != "" {
		if err := src.verifyAfterLoss(ctx, patience); err != nil {
			return true, err
		}
	}
	if lost {
		f.continueAfterLoss()
	}
	src.lastHeard = tail.Heard
	src.goLive()
	f.hub.releaseRestPlace(f)
	last := src.askerOf(hearing)
	return true, src.receive(ctx, tail.C, tail.Err, streamQuestions{src.verify, last})
}

// ask asks the stream's leader what the stream is. While a stream has no leader, every replica
// answers with what it knows itself; [kvclient.Client.State] takes that for no answer
// (TestClusterStateIsUnavailableWithoutALeader), so that no decision here relies on a replica. A
// leader that is cut off alone goes on for some 20 s before it finds out; nothing reports that to a
// client.
func (f *Feed) ask(ctx context.Context) (*kvclient.Bucket, kvclient.StreamState, error) {
	return f.askWithin(ctx, askTimeout)
}

// askWithin is ask with another limit on the time for an answer.
func (f *Feed) askWithin(ctx context.Context, patience time.Duration) (
	*kvclient.Bucket, kvclient.StreamState, error,
) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return f.hub.client.State(ctx, f.name)
}

// startAt notes where the stream is. It returns the revision after which to read on; begun
// reports that the log begins there.
func (src *source) startAt(bucket *kvclient.Bucket, s kvclient.StreamState) (
	revision kv.Revision, begun bool,
) {
	if len(src.purged) > 0 { // the source has ended before they were healed
		src.audit.noteDoubt(ReasonPurged)
		src.purged = nil
	}
	revision, begun = src.feed.adopt(bucket, s, src.audit.dueReset)
	src.audit.noteStart(s, begun, src.feed.now())
	return revision, begun
}

// carryOut does what a verdict says. It returns the error that ends the source, nil if the source
// goes on.
func (src *source) carryOut(v verdict) error {
	switch v.action {
	case goOn:
		return nil
	case lookAgain:
		src.requestVerify()
		return nil
	case doubt:
		if src.noteDoubt(v.reason) {
			return errRestart
		}
		fallthrough
	case beginAnew:
		src.audit.dueReset = v.reason
		src.feed.mu.Lock()
		src.feed.journal.exact.disclaim()
		src.feed.dropCopyLocked(DroppedReset)
		src.feed.mu.Unlock()
	}
	return errRestart
}

// isMissing reports whether an error says that there is no such bucket, which nothing but a change
// of the stream can fix.
func isMissing(err error) bool {
	return kv.IsNoBucket(err)
}

// isDenied reports whether an error says that NATS has denied something to the identity.
func isDenied(err error) bool {
	_, denied := errors.AsType[*kv.DeniedError](err)
	return denied
}

// noteLost notes that there is no source, and why.
//
// Whatever the source was lost with, advisories may be lost with it: that the gateway's connection
// stands is no proof, since what lies behind its server can be lost
// (TestPurgeBehindALeafNodeIsAReset). And what vanishes by age is never reported.
func (src *source) noteLost(err error) {
	if isMissing(err) {
		src.feed.setState(missing, err)
		src.feed.dropCopy(DroppedReset)
		src.audit.noteMissing()
		return
	}
	src.audit.noteMissed(src.lastHeard())
	src.feed.setState(stale, err)
}

// goLive notes that there is a source, and loads a copy if one is due. Both are one step, so that
// no subscription comes in between and reads what the copy is about to be loaded with.
func (src *source) goLive() {
	f := src.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.setStateLocked(live, nil)
	src.loadCopyLocked()
}

// noteAdvisoryPeriod notes over which connection advisories come from now on. If some may have been
// missed, the state is not live before the stream has been compared.
func (src *source) noteAdvisoryPeriod(h kvclient.AdvisoryPeriod) {
	f := src.feed
	dropped := src.audit.hearing.SameConnection(h)
	if !src.audit.noteAdvisoryPeriod(h, src.lastHeard(), f.now()) || !f.isLive() {
		return
	}
	f.hub.options.Logger.Warn().Str("bucket", f.name.String()).
		Bool("dropped", dropped).Msg("feed missed advisories")
	f.setState(stale, nil)
}

// streamQuestions are the ways in which the source's goroutine looks at the stream. Tests have
// others.
type streamQuestions struct {
	// verify compares all that the feed knows with the stream. What arrives meanwhile waits.
	verify func(context.Context) error
	// last asks for the stream's state beside the changes that come; see [inquiry].
	last func(context.Context) (kvclient.StreamState, error)
}

// receive delivers what the consumer brings, handles advisories, and compares the feed with the
// stream from time to time. When arrivals is closed, lost says why.
func (src *source) receive(
	ctx context.Context, arrivals <-chan kvclient.Arrival, lost func() error, ask streamQuestions,
) error {
	verify := time.NewTimer(verifyDelay)
	defer verify.Stop()
	verifying := true // the timer runs; only changes put it off
	later := func() {
		verify.Reset(verifyDelay)
		verifying = true
	}
	regularly := time.NewTicker(verifyEvery)
	defer regularly.Stop()
	inquiry := newInquiry(src, ask.last)
	defer inquiry.nextSend.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case a, ok := <-arrivals:
			if !ok {
				return lost()
			}
			src.audit.noteIdle(a.Idle)
			if err := src.carryOut(src.deliver(a.Entries)); err != nil {
				return err
			}
			later()
		case <-src.verifySoon:
			if !verifying {
				later()
			}
		case <-src.mail.arrived:
			a, ok := src.mail.pop()
			if !ok {
				continue
			}
			err := src.handleAdvisory(a)
			if gathered := src.gatherPurges(ctx); err == nil {
				err = gathered
			}
			if err == nil {
				err = src.healPurged()
			}
			if err != nil {
				return err
			}
		case a := <-inquiry.answers:
			if err := inquiry.answered(a); err != nil {
				return err
			}
		case <-inquiry.nextSend.C:
		case <-src.askSoon:
		case <-verify.C:
			verifying = false
			if err := ask.verify(ctx); err != nil {
				return err
			}
		case <-regularly.C:
			if err := ask.verify(ctx); err != nil {
				return err
			}
		}
		inquiry.send(ctx)
		src.tendCopy()
	}
}

// requestVerify asks for a verification, which can make the position exact. It may be called
// by any goroutine, with or without f.mu.
func (src *source) requestVerify() {
	select {
	case src.verifySoon <- struct{}{}:
	default:
	}
}

// requestQuestion asks for a question to be sent as soon as one may be. It may be called by any
// goroutine, with or without f.mu.
func (src *source) requestQuestion() {
	select {
	case src.askSoon <- struct{}{}:
	default:
	}
}
