package natsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"kvgateway/internal/bound"
)

// Version is the version of the nats-server that is built in.
const Version = server.VERSION

// startTimeout bounds the start of the server. JetStream spends nearly all of it on reading its
// files, which took 78 ms for a bucket of 100,000 keys. A store that needs longer than this is more
// likely to be on a disk that hangs.
const startTimeout = 2 * time.Minute

// Options say where the data is and how safely it is kept.
type Options struct {
	// DataDir is the directory of the store. It is created with mode 0700 if it is missing.
	DataDir string

	// SyncAlways syncs every write to the disk before it is acknowledged, so that it survives a
	// power cut. This allows a few hundred to a few thousand writes a second, depending on the
	// disk.
	SyncAlways bool

	// SyncInterval is how often written data is synced to the disk if SyncAlways is false; 0 is the
	// server's own two minutes. An acknowledged write survives the end of the process in any case,
	// but a power cut can lose the writes of one interval.
	SyncInterval time.Duration

	// Listen is the host:port of a TCP listener for native clients; port 0 takes a free one. If it
	// is empty, there is no listener, and only this process reaches the server.
	Listen string

	// WSListen is the host:port of a WebSocket listener without TLS, for native clients in
	// browsers; port 0 takes a free one. If it is empty, there is no such listener.
	WSListen string

	// WSOrigins are the origins whose pages may connect to WSListen. Programs that send no Origin
	// may always connect.
	WSOrigins []string

	// Streams bounds how many streams the server may have, whoever creates them. If it is nil, they
	// are not bounded. A stream that is written takes a file descriptor, until it has been idle for
	// 30 s to two and a half minutes; its older blocks, consumers and watches take none (measured).
	Streams *bound.Bound

	// Clients bounds how many connections the server may have, those of this process included. If
	// it is nil, the server has its own bound.
	Clients *bound.Bound

	// MemoryBytes is how much the streams may hold in all whose storage is memory. With 0 it is the
	// server's own limit, three quarters of the machine's memory.
	MemoryBytes int64

	// AcceptLoss opens a store that has lost data for certain, which Start refuses otherwise. The
	// damaged blocks are copied first.
	AcceptLoss bool

	// Hangs is called once if the server has to be started again and hangs in its start. It may
	// still write files, so it cannot be tried once more, and the process should end. It may be
	// nil.
	Hangs func(error)

	// RecordEvery is how often the record of the streams is written; 0 is a minute.
	RecordEvery time.Duration

	// StopTimeout bounds Shutdown; 0 is ten seconds.
	StopTimeout time.Duration

	// Logger is the log of this package and of the server.
	Logger zerolog.Logger
}

// Server is a running nats-server on a store, which it has locked. Its methods are safe for
// concurrent use.
//
// These goroutines run beside the server until Shutdown: watchStore, which starts the server again
// after its disk was full, keepRecord and, with a sync interval, keepSynced. A server that was
// started again is another instance; connections to the one before are lost.
type Server struct {
	// dir is the absolute path of the data directory.
	dir string
	// opts are the options. The addresses of the listeners have the ports that were taken.
	opts Options
	// lock keeps other processes from the store.
	lock *dirLock

	// mu guards current and closed.
	mu sync.RWMutex
	// current is the server that runs now.
	current *instance
	// closed says that Shutdown was called.
	closed bool

	// stop is closed to end the goroutines beside the server.
	stop chan struct{}
	// beside counts these goroutines.
	beside sync.WaitGroup

	// failure is why the store takes no writes by the last check of watchStore, nil if it takes
	// writes.
	failure atomic.Pointer[error]
	// syncs says how the syncs of natsd have gone. The store takes no writes after one has failed
	// either.
	syncs syncState
	// recorder keeps the record.
	recorder recorder
	// streams and clients are what the server has of the bounds in the options.
	streams, clients bound.Hold
	// outage is the time in which the server does not run.
	outage outage
}

// An instance is one life of the nats-server on the store.
type instance struct {
	// ns is the server.
	ns *server.Server
	// log receives its log lines.
	log *serverLog
}

// Start locks the data directory, reads all blocks in it, starts the server on it and returns when
// JetStream answers, within two minutes after the reading. The context bounds the start only; a
// server that has started runs until Shutdown. The package documentation has the steps.
//
// It fails with an *[InUseError] if another process has the directory, with a *[LossError] if data
// in it is lost, and if the directory cannot be written, a stream in it cannot be read, or the
// address of a listener is taken.
func Start(ctx context.Context, opts Options) (*Server, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	dir, err := prepareDir(opts.DataDir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, opts: opts, lock: lock, stop: make(chan struct{})}
	if err := s.open(ctx); err != nil {
		if !errors.Is(err, errNotReady) { // else files may still be written
			err = errors.Join(err, lock.release())
		}
		return nil, fmt.Errorf("embedded nats-server did not start on %s: %w", dir, err)
	}
	s.opts.keepPorts(s.current.ns)
	s.updateBounds()
	s.beside.Go(s.watchStore)
	s.beside.Go(s.keepRecord)
	if opts.syncsItself() {
		s.beside.Go(s.keepSynced)
	}
	return s, nil
}

// open starts the server on a store that has lost nothing, or whose loss is accepted.
func (s *Server) open(ctx context.Context) error {
	store, err := admit(ctx, s.dir, s.opts)
	if err != nil {
		return err
	}
	s.recorder.record = store.goOn.clone() // since begin changes it
	if err := s.recorder.begin(s.dir, s.opts); err != nil {
		return err
	}
	i, err := launch(ctx, s.dir, s.opts)
	if err != nil {
		if !errors.Is(err, errNotReady) && !errors.Is(err, errNotOffered) {
			err = errors.Join(err, store.asFound.write(s.dir)) // since nothing was stored meanwhile
		}
		return err
	}
	losses, err := verify(i.ns, store.goOn)
	if err == nil {
		err = refuseOpened(s.dir, losses, s.opts)
	}
	if err != nil {
		i.shutdown()
		// The next start compares with the same record.
		return errors.Join(err, store.asFound.write(s.dir))
	}
	for _, l := range losses {
		s.recorder.record.drop(l, nil, s.opts.Logger)
	}
	s.current = i
	return nil
}

// launch starts a nats-server on the directory, which must be locked.
func launch(ctx context.Context, dir string, opts Options) (*instance, error) {
	if err := repair(dir, opts.Logger); err != nil {
		return nil, err
	}
	nopts, err := serverOptions(dir, opts)
	if err != nil {
		return nil, err
	}
	ns, err := server.NewServer(nopts)
	if err != nil {
		return nil, err
	}
	i := &instance{ns: ns, log: newServerLog(opts.Logger)}
	ns.SetLogger(i.log, i.log.wantsDebug(), false)
	if err := i.run(ctx); err != nil {
		return nil, err
	}
	if err := checkRecovered(ns, dir); err != nil {
		i.shutdown()
		return nil, err
	}
	if err := limitStreams(ns, opts.Streams); err != nil { // such as on a disk that has shrunk
		opts.Logger.Error().Err(err).Msg("file descriptors may run out")
	}
	i.log.started.Store(true)
	return i, nil
}

// prepareDir returns the absolute path of a directory, which it creates if it is missing. Only this
// user may read it, since the files in it are everything that was ever stored. A directory that
// exists keeps the mode that its owner chose.
func prepareDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("the embedded nats-server needs a data directory")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory %q: %w", dir, err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", fmt.Errorf("data directory %s cannot be created: %w", abs, err)
	}
	return abs, nil
}

// errNotReady ends the start of a server that may still be busy with its files.
var errNotReady = errors.New("not ready")

// run starts the server and waits until it is ready. The server reports what stops its start only
// through its log, as a fatal line, and then stays half started; run turns that line into an error.
func (i *instance) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.ns.Start()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		go i.ns.Shutdown() // may hang as well
		return fmt.Errorf("%w: %w", errNotReady, context.Cause(ctx))
	}
	if err := i.log.fatalError(); err != nil {
		i.shutdown()
		return err
	}
	if !i.ns.JetStreamEnabled() {
		i.shutdown()
		return errors.New("JetStream is not enabled")
	}
	return nil
}

// shutdown stops the server and waits until its files are closed.
func (i *instance) shutdown() {
	i.log.started.Store(false)
	i.ns.Shutdown()
	i.ns.WaitForShutdown()
}

// instance returns the server that runs now.
func (s *Server) instance() *instance {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current
}

// InProcessConn returns a new connection to the server that needs no listener.
func (s *Server) InProcessConn() (net.Conn, error) { return s.instance().ns.InProcessConn() }
