package natsd

import (
	"cmp"
	"fmt"
	"time"
)

// serverSyncInterval is the sync interval of a nats-server that is given none.
const serverSyncInterval = 2 * time.Minute

// defaultStopTimeout is how long the server may take to stop. It takes some ten milliseconds for
// 100,000 keys, unless a request keeps the lock of a stream.
const defaultStopTimeout = 10 * time.Second

// Shutdown stops the server, waits until all of it is down and its files are closed, records how
// far the streams have come, and unlocks the data directory. A second call has no effect. Client
// connections must be closed before, since the server does not wait for them.
//
// It returns an error if the server is not down after [Options.StopTimeout], for example because a
// request keeps the lock of a stream: one consumer with 64 filters of 500 tokens keeps it for
// minutes. Then the process should end. The store survives that as it survives a kill.
func (s *Server) Shutdown() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	close(s.stop)
	down := make(chan struct{})
	go func() {
		defer close(down)
		s.takeDown()
	}()
	timeout := cmp.Or(s.opts.StopTimeout, defaultStopTimeout)
	select {
	case <-down:
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("the embedded nats-server is not down after %v: %s",
			timeout, s.opts.atRisk())
	}
}

// atRisk says what the end of the process costs without a clean stop.
func (o Options) atRisk() string {
	if o.SyncAlways {
		return "every acknowledged write is on disk, and the next start reads all of it again"
	}
	return fmt.Sprintf("every acknowledged write survives the end of the process, "+
		"but a power cut now loses those of the last %v",
		cmp.Or(o.SyncInterval, serverSyncInterval))
}

// takeDown stops the server and records how it has left its streams. After a failed sync it records
// nothing, since the disk may not have what the server says, and another sync may not tell.
func (s *Server) takeDown() {
	s.beside.Wait()
	i := s.instance()
	ran, err := runningStreams(i.ns)
	if err != nil {
		s.opts.Logger.Warn().Err(err).
			Msg("the streams of the embedded nats-server cannot be listed")
	}
	i.shutdown()
	if s.syncs.failed() {
		s.opts.Logger.Error().Msg("the stop is not recorded as a clean one, since a sync of what " +
			"is stored has failed")
	} else if err := s.recorder.finish(s.dir, s.opts, ran); err != nil {
		s.opts.Logger.Warn().Err(err).
			Msg("the record of how far the streams have come cannot be written")
	}
	if err := s.lock.release(); err != nil {
		s.opts.Logger.Warn().Err(err).Msg("the data directory stays locked until this process ends")
	}
}
