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
	// watchEvery is how often the room on the disk is looked at, which takes a microsecond.
	watchEvery = 500 * time.Millisecond
	// askEvery is after how many of these looks the server is asked too.
	askEvery = 4
	// roomToGoOn is how many bytes must fit on the disk for the store to be written.
	roomToGoOn = 1 << 20
)

// Why the store takes no writes. The texts are for clients: the cause, which is in the log, may
// name files.
var (
	errDiskFull    = errors.New("its disk is full")
	errCannotWrite = errors.New("it could not write to its disk")
)

// WriteError returns why the store takes no writes, such as a full disk, nil if it does. It is told
// from what the last look has found, at most two seconds ago.
func (s *Server) WriteError() error {
	if s.unsynced.Load() { // for good: what the system could not write it may have dropped
		return errCannotWrite
	}
	return s.foundFailure()
}

// foundFailure returns what the last look has found.
func (s *Server) foundFailure() error {
	if failure := s.failure.Load(); failure != nil {
		return *failure
	}
	return nil
}

// watchOver looks after the store until the server is stopped.
func (s *Server) watchOver() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for looks := 0; ; looks++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		room := hasRoom(s.dir)
		if room && s.foundFailure() == nil && looks%askEvery != 0 {
			continue
		}
		if err := s.look(room); err != nil {
			s.opts.Logger.Error().Err(err).Msg("the embedded nats-server did not start again")
			return
		}
	}
}

// look notes whether the store can be written, and starts the server again after its disk was full.
// nats-server 2.15.2 takes no more writes to a stream of which one has failed, and leaves them
// unanswered, also when there is room again (measured); what it had acknowledged it finds at its
// next start.
func (s *Server) look(room bool) error {
	if !room {
		s.setFailure(errDiskFull, fmt.Errorf("less than %d bytes fit", roomToGoOn))
		return nil
	}
	switch cause := s.streamError(); {
	case cause != nil && !fits(s.dir): // beyond a quota
		s.setFailure(errDiskFull, cause)
	case cause != nil:
		s.setFailure(errCannotWrite, cause)
		s.opts.Logger.Error().Err(cause).
			Msg("a stream takes no writes; the embedded nats-server is started again")
		if err := s.restart(); err != nil {
			return err
		}
		s.setFailure(nil, nil)
	default:
		s.setFailure(nil, nil)
	}
	return nil
}

// setFailure notes why the store takes no writes, and logs it if that is news.
func (s *Server) setFailure(reason, cause error) {
	was := s.foundFailure()
	if reason == nil {
		s.failure.Store(nil)
		if was != nil {
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

// streamError returns why the server takes no writes to a stream, nil if it takes them to all.
func (s *Server) streamError() error {
	health := s.instance().ns.Healthz(&server.HealthzOptions{Details: true})
	for _, e := range health.Errors {
		if strings.Contains(e.Error, "write error") {
			return errors.New(e.Error)
		}
	}
	return nil
}

// hasRoom reports whether the file system seems to have room. Where it seems full this is tried,
// since root may use what is reserved.
func hasRoom(dir string) bool {
	free, known := freeBytes(dir)
	return !known || free >= 2*roomToGoOn || fits(dir)
}

// fits reports whether something can be written, quotas included.
func fits(dir string) bool {
	probe := filepath.Join(dir, "room.probe")
	defer os.Remove(probe)
	return os.WriteFile(probe, make([]byte, roomToGoOn), 0o600) == nil
}

// restart gives the server another life. Connections to it are lost and made again, as in every
// restart of a NATS.
func (s *Server) restart() error {
	s.instance().shutdown()
	i, err := launch(context.Background(), s.dir, s.opts)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.current = i
	s.mu.Unlock()
	return nil
}
