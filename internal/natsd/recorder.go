package natsd

import (
	"cmp"
	"sync"
	"time"
)

// A recorder keeps the record of a running server.
type recorder struct {
	mu      sync.Mutex
	record  record
	pending map[string]recorded // what was read last, and is not certainly on disk; with an interval
	began   time.Time           // when the server was started on the store
}

// begin notes that the store is about to be opened: from here on it may change.
func (r *recorder) begin(dataDir string, opts Options) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = time.Now()
	r.record.Clean, r.record.SyncAlways = false, opts.SyncAlways
	if r.record.Written.IsZero() {
		r.record.Written = r.began.UTC()
	}
	for name, entry := range r.record.Streams {
		entry.Checksum, entry.Blocks = "", nil
		r.record.Streams[name] = entry
	}
	return r.record.write(dataDir)
}

// note writes down how far the streams have come. With a sync interval that is what was noted the
// last time, which has been synced since.
func (r *recorder) note(dataDir string, opts Options, now map[string]recorded) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	certain := now
	if !opts.SyncAlways {
		certain, r.pending = r.pending, now
		certain = atMost(certain, now)
	}
	if certain == nil {
		return nil
	}
	r.advance(certain, opts)
	r.record.Written = time.Now().UTC()
	return r.record.write(dataDir)
}

// atMost returns the entries of streams that are still there.
func atMost(entries, now map[string]recorded) map[string]recorded {
	for name, entry := range entries {
		if later, here := now[name]; !here || !later.Created.Equal(entry.Created) {
			delete(entries, name)
		}
	}
	return entries
}

// advance brings the record up to date. r.mu must be held.
func (r *recorder) advance(now map[string]recorded, opts Options) {
	for _, loss := range r.record.advance(now) {
		opts.Logger.Error().Str("loss", loss).
			Msg("a stream has lost messages while the server ran: the next start will refuse it")
	}
}

// finish records how a server that has stopped left its streams, of which ran is the last it said.
func (r *recorder) finish(dataDir string, opts Options, ran map[string]recorded) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	streams, err := stopped(dataDir, ran, !opts.SyncAlways, r.began)
	if err != nil {
		return err
	}
	r.advance(streams, opts)
	r.record.Clean, r.record.Written = true, time.Now().UTC()
	return r.record.write(dataDir)
}

// keepRecord writes the record now and then: each minute, or at twice the sync interval where that
// is longer, so that what one round reads is on disk in the next.
func (s *Server) keepRecord() {
	every := cmp.Or(s.opts.RecordEvery, recordEvery)
	if !s.opts.SyncAlways {
		every = max(every, 2*cmp.Or(s.opts.SyncInterval, serverSyncInterval))
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		now, err := running(s.instance().ns)
		if err == nil {
			err = s.recorder.note(s.dir, s.opts, now)
		}
		if err != nil {
			s.opts.Logger.Warn().Err(err).Msg("how far the streams have come is not recorded")
		}
	}
}
