package natsd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// watchEvery is how often the store is looked at.
	watchEvery = 2 * time.Second
	// roomToGoOn is how many bytes must fit on the disk again before the server is started anew.
	roomToGoOn = 1 << 20
)

// watchOver starts the server again after its disk was full. nats-server 2.15.2 takes no more writes to a stream of which one has failed,
// and leaves them unanswered, also when there is room again (measured); what it had acknowledged it finds at its next start.
func (s *Server) watchOver() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		err := s.WriteError()
		if err == nil || !hasRoom(s.dir) {
			continue
		}
		s.opts.Logger.Error().Err(err).Msg("a stream takes no writes; the embedded nats-server is started again")
		if err := s.restart(); err != nil {
			s.opts.Logger.Error().Err(err).Msg("the embedded nats-server did not start again")
			return
		}
	}
}

// WriteError tells why a stream takes no writes, such as a full disk; nil if all do.
func (s *Server) WriteError() error {
	health := s.instance().ns.Healthz(&server.HealthzOptions{Details: true})
	for _, e := range health.Errors {
		if strings.Contains(e.Error, "write error") {
			return errors.New(e.Error)
		}
	}
	return nil
}

// hasRoom tells whether something can be written again.
func hasRoom(dir string) bool {
	probe := filepath.Join(dir, "room.probe")
	defer os.Remove(probe)
	return os.WriteFile(probe, make([]byte, roomToGoOn), 0o600) == nil
}

// restart gives the server another life. Connections to it are lost and made again, as in every restart of a NATS.
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
