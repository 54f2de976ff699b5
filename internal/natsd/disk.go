package natsd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// diskCheckEvery is how often the room on the disk is looked at, which takes a microsecond.
	diskCheckEvery = 500 * time.Millisecond
	// serverCheckEvery is after how many of these checks the server is asked too.
	serverCheckEvery = 4
	// roomToWrite is how many bytes must fit on the disk for the store to take writes.
	roomToWrite = 1 << 20
	// outagePause and longestOutagePause are the first and the longest pause between two attempts
	// to start a server.
	outagePause, longestOutagePause = time.Second, time.Minute
)

// The reasons why the store takes no writes. Clients read the texts. The cause may name files, so
// only the log has it.
var (
	errDiskFull = errors.New("its disk is full. It goes on by itself once there is room on the " +
		"disk, and deleting a bucket makes room")
	errCannotWrite = errors.New("it could not write to its disk. It is being started again")
	errNotRunning  = errors.New("it did not start again after it could not write to its disk. " +
		"The gateway goes on trying")
	errHangs = errors.New("it hangs. The gateway ends")
)

// WriteError returns why the store takes no writes, such as a full disk, nil if it takes writes. It
// says what the last check has found, at most two seconds ago. With it the gateway answers 507 at
// once to a request that would store something, and not 504 after the request timeout, and /readyz
// says why the gateway is not ready. Reads go on, unless the server does not run. See [syncState]
// for what follows from a sync that has failed.
func (s *Server) WriteError() error {
	if err := s.syncs.failure(); err != nil {
		return err
	}
	return s.foundFailure()
}

// foundFailure returns why the store takes no writes by the last check, nil if it takes writes.
func (s *Server) foundFailure() error {
	if failure := s.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

// watchStore checks the store until the server is stopped, and starts the server again after its
// disk was full.
//
// nats-server 2.15.2 takes no more writes to a stream once one write to it has failed, and leaves
// them unanswered, even when there is room again (measured). Its next start finds everything that
// it had acknowledged. So watchStore looks at the room on the disk twice a second and asks the
// server every two seconds. Once a mebibyte fits, a server with a stream that has failed gets
// another life (TestFullDiskIsWrittenAgain, and TestFullDiskIsTold in test/e2e). If that fails, it
// is tried again, with pauses that grow to a minute (TestServerIsStartedAgainUntilItRuns).
func (s *Server) watchStore() {
	tick := time.NewTicker(diskCheckEvery)
	defer tick.Stop()
	for checks := 0; ; checks++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		isDue := checks%serverCheckEvery == 0
		switch room := hasRoom(s.dir); {
		case s.outage.on:
			s.endOutage()
		case !room || s.foundFailure() != nil || isDue:
			s.checkStore(room)
			s.updateBounds()
		}
	}
}

// checkStore notes whether the store takes writes, and starts the server again if a stream takes
// none although there is room.
func (s *Server) checkStore(room bool) {
	if !room {
		s.setFailure(errDiskFull, fmt.Errorf("less than %d bytes fit", roomToWrite))
		return
	}
	switch cause := s.streamError(); {
	case cause != nil && !canWrite(s.dir): // such as beyond a quota
		s.setFailure(errDiskFull, cause)
	case cause != nil:
		s.setFailure(errCannotWrite, cause)
		s.opts.Logger.Error().Err(cause).
			Msg("a stream takes no writes: the embedded nats-server is being started again")
		s.instance().shutdown()
		s.outage = outage{on: true}
		s.endOutage()
	default:
		s.setFailure(nil, nil)
	}
}

// setFailure notes why the store takes no writes, nil if it takes writes, and logs a change.
func (s *Server) setFailure(reason, cause error) {
	was := s.foundFailure()
	if reason == nil {
		s.failure.Store(nil)
		if was != nil && s.syncs.failure() == nil {
			s.opts.Logger.Info().Msg("the embedded nats-server takes writes again")
		}
		return
	}
	s.failure.Store(&reason)
	if was == nil {
		s.opts.Logger.Error().AnErr("cause", cause).Err(reason).
			Msg("the embedded nats-server takes no writes")
	}
}

// streamError returns why the server takes no writes to a stream, nil if it takes writes to all.
func (s *Server) streamError() error {
	health := s.instance().ns.Healthz(&server.HealthzOptions{Details: true})
	for _, e := range health.Errors {
		if strings.Contains(e.Error, "write error") {
			return errors.New(e.Error)
		}
	}
	return nil
}

// hasRoom reports whether the file system has room. If it seems full, hasRoom tries to write, since
// root may use what is reserved.
func hasRoom(dir string) bool {
	free, known := freeBytes(dir)
	return !known || free >= 2*roomToWrite || canWrite(dir)
}

// canWrite reports whether something can be written, quotas included.
func canWrite(dir string) bool {
	probe := filepath.Join(dir, "room.probe")
	defer os.Remove(probe)
	return os.WriteFile(probe, make([]byte, roomToWrite), 0o600) == nil
}

// An outage is the time from the stop of a server that could not write until another has started.
// Only watchStore uses it.
type outage struct {
	// on says that no server runs.
	on bool
	// pause is the time from the last attempt to start one to the next.
	pause time.Duration
	// next is when the next attempt is due.
	next time.Time
	// hangs says that the server hangs in its start, so that there is no next attempt.
	hangs bool
}

// endOutage gives the server another life if an attempt is due. Connections to it are lost and made
// again, as after every restart of a nats-server.
func (s *Server) endOutage() {
	o := &s.outage
	if o.hangs || time.Now().Before(o.next) {
		return
	}
	i, err := launch(context.Background(), s.dir, s.opts)
	switch {
	case errors.Is(err, errNotReady):
		o.hangs = true
		s.setFailure(errHangs, err)
		s.opts.Logger.Error().Err(err).Msg("the embedded nats-server hangs in its start")
		if s.opts.Hangs != nil {
			s.opts.Hangs(fmt.Errorf("the embedded nats-server hangs in its start: %w", err))
		}
	case err != nil:
		o.pause = min(max(2*o.pause, outagePause), longestOutagePause)
		o.next = time.Now().Add(o.pause)
		s.setFailure(errNotRunning, err)
		s.opts.Logger.Error().Err(err).Dur("next_try_ms", o.pause).
			Msg("the embedded nats-server did not start again")
	default:
		s.mu.Lock()
		s.current = i
		s.mu.Unlock()
		s.outage = outage{}
		s.setFailure(nil, nil)
	}
}
