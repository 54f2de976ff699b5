package natsd

import (
	"cmp"
	"sync"
	"time"
)

// A recorder keeps the record of a running server. It is safe for concurrent use.
type recorder struct {
	// mu guards all fields.
	mu sync.Mutex
	// record is what was written last.
	record record
	// pending is what was read in the last round and is not certainly on the disk yet. It is used
	// with a sync interval only.
	pending map[string]recordedStream
	// began is when the store was opened.
	began time.Time
}

// begin notes that the store is about to be opened. From then on it may change, so the record is no
// longer clean.
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

// note records how far the streams have come. With a sync interval it records what the call before
// has noted, which was synced since.
func (r *recorder) note(dataDir string, opts Options, now map[string]recordedStream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	certain := now
	if !opts.SyncAlways {
		certain, r.pending = r.pending, now
		certain = stillThere(certain, now)
	}
	if certain == nil {
		return nil
	}
	r.advance(certain, opts)
	r.record.Written = time.Now().UTC()
	return r.record.write(dataDir)
}

// stillThere returns the entries whose streams still exist.
func stillThere(entries, now map[string]recordedStream) map[string]recordedStream {
	for name, entry := range entries {
		if later, here := now[name]; !here || !later.Created.Equal(entry.Created) {
			delete(entries, name)
		}
	}
	return entries
}

// advance brings the record up to date. r.mu must be held.
func (r *recorder) advance(now map[string]recordedStream, opts Options) {
	for _, loss := range r.record.advance(now) {
		opts.Logger.Error().Str("loss", loss).
			Msg("a stream has lost messages while the server ran: the next start will refuse it")
	}
}

// finish records how a server that has stopped left its streams; ran is what the server said last.
func (r *recorder) finish(dataDir string, opts Options, ran map[string]recordedStream) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	streams, err := stoppedStreams(dataDir, ran, !opts.SyncAlways, r.began)
	if err != nil {
		return err
	}
	r.advance(streams, opts)
	r.record.Clean, r.record.Written = true, time.Now().UTC()
	return r.record.write(dataDir)
}

// keepRecord writes the record until the server is stopped: each minute, or every two sync
// intervals if that is longer, so that what one round reads is on the disk in the next. Where natsd
// syncs itself, it skips rounds until a sync has succeeded since.
func (s *Server) keepRecord() {
	every := cmp.Or(s.opts.RecordEvery, recordEvery)
	if !s.opts.SyncAlways {
		every = max(every, 2*cmp.Or(s.opts.SyncInterval, serverSyncInterval))
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var read time.Time // when the last round read the streams
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if s.opts.syncsItself() && !s.syncs.syncedSince(read) {
			continue
		}
		read = time.Now()
		now, err := runningStreams(s.instance().ns)
		if err == nil {
			err = s.recorder.note(s.dir, s.opts, now)
		}
		if err != nil {
			s.opts.Logger.Warn().Err(err).
				Msg("the record of how far the streams have come cannot be written")
		}
	}
}
