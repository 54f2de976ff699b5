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
)

// The reasons why the store takes no writes. Clients read the texts. The cause may name files, so
// only the log has it.
var (
	errDiskFull    = errors.New("its disk is full")
	errCannotWrite = errors.New("it could not write to its disk")
)

// WriteError returns why the store takes no writes, such as a full disk, nil if it takes writes. It
// says what the last check has found, at most two seconds ago. With it the gateway answers 507 at
// once to a request that would store something, and not 504 after the request timeout, and /readyz
// says why the gateway is not ready. Reads go on. If natsd could not sync what was stored, the
// store takes no writes until the process ends, since the system may have dropped what it could not
// write.
func (s *Server) WriteError() error {
	if s.unsynced.Load() {
		return errCannotWrite
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

// watchDisk checks the store until the server is stopped, and starts the server again after its
// disk was full.
//
// nats-server 2.15.2 takes no more writes to a stream once one write to it has failed, and leaves
// them unanswered, even when there is room again (measured). Its next start finds everything that
// it had acknowledged. So watchDisk looks at the room on the disk twice a second and asks the
// server every two seconds. Once a mebibyte fits, a server with a stream that has failed gets
// another life (TestFullDiskIsWrittenAgain, and TestFullDiskIsTold in test/e2e).
func (s *Server) watchDisk() {
	tick := time.NewTicker(diskCheckEvery)
	defer tick.Stop()
	for checks := 0; ; checks++ {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		room := hasRoom(s.dir)
		if room && s.foundFailure() == nil && checks%serverCheckEvery != 0 {
			continue
		}
		if err := s.checkStore(room); err != nil {
			s.opts.Logger.Error().Err(err).Msg("the embedded nats-server did not start again")
			return
		}
	}
}

// checkStore notes whether the store takes writes, and starts the server again if a stream takes
// none although there is room.
func (s *Server) checkStore(room bool) error {
	if !room {
		s.setFailure(errDiskFull, fmt.Errorf("less than %d bytes fit", roomToWrite))
		return nil
	}
	switch cause := s.streamError(); {
	case cause != nil && !canWrite(s.dir): // such as beyond a quota
		s.setFailure(errDiskFull, cause)
	case cause != nil:
		s.setFailure(errCannotWrite, cause)
		s.opts.Logger.Error().Err(cause).
			Msg("a stream takes no writes: the embedded nats-server is being started again")
		if err := s.restart(); err != nil {
			return err
		}
		s.setFailure(nil, nil)
	default:
		s.setFailure(nil, nil)
	}
	return nil
}

// setFailure notes why the store takes no writes, nil if it takes writes, and logs a change.
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

// restart gives the server another life. Connections to it are lost and made again, as after every
// restart of a nats-server.
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
