package natsd

import (
	"context"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

const (
	// readers is how many blocks are read at once at most. Each takes the memory of a block or, if
	// it is compressed, of two.
	readers = 4

	// tellProgressEvery is how often the log says how far the reading has come.
	tellProgressEvery = 5 * time.Second
)

// A reading is of the message blocks of all streams, before the server opens them.
type reading struct {
	log     zerolog.Logger
	workers int
	total   int64 // bytes of all blocks
	done    atomic.Int64
}

// newReading returns a reading of the streams in these directories.
func newReading(dirs []string, log zerolog.Logger) *reading {
	r := &reading{log: log, workers: min(readers, runtime.GOMAXPROCS(0))}
	for _, dir := range dirs {
		for _, size := range blockSizes(dir) {
			r.total += size
		}
	}
	return r
}

// tell logs how far the reading has come, now and then, until the function that it returns is
// called. That logs how long it took, unless it was short.
func (r *reading) tell() (end func()) {
	began, ended := time.Now(), make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(tellProgressEvery)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				r.log.Info().Int64("read_bytes", r.done.Load()).Int64("total_bytes", r.total).
					Msg("the message blocks are being read before the store is opened")
			}
		}
	})
	return func() {
		close(ended)
		telling.Wait()
		if took := time.Since(began); took > time.Second {
			r.log.Info().Dur("duration_ms", took).Int64("read_bytes", r.done.Load()).
				Msg("the message blocks were read")
		}
	}
}

// scan reads the blocks of a stream, several at once, and returns what each has to offer.
func (r *reading) scan(
	ctx context.Context, dir string, blocks []uint32, sizes map[string]int64,
) ([]blockScan, error) {
	scans := make([]blockScan, len(blocks))
	errs := make([]error, r.workers)
	var taken atomic.Int64
	take := func() int { return int(taken.Add(1)) - 1 }
	var working sync.WaitGroup
	for w := range r.workers {
		working.Go(func() {
			for n := take(); n < len(blocks) && errs[w] == nil; n = take() {
				name := blockName(blocks[n])
				scans[n], errs[w] = scanBlock(ctx, filepath.Join(dir, messagesDir, name),
					filepath.Base(dir), blocks[n])
				r.done.Add(sizes[name])
			}
		})
	}
	working.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return scans, nil
}
