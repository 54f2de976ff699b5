// Package natsd runs a nats-server with JetStream inside this process: the store of a gateway that has no NATS of its
// own to connect to. It starts the server, says when it is ready, and stops it; everything else goes through
// internal/kvclient, as with any other NATS.
package natsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// Version is the version of the nats-server that is built in.
const Version = server.VERSION

// startTimeout bounds the start. Nearly all of it is JetStream reading its files again, which took 78 ms for a bucket of
// 100,000 keys; a store that needs longer than this is more likely to be on a disk that hangs.
const startTimeout = 2 * time.Minute

// Options say where the data is and how safely it is kept.
type Options struct {
	// DataDir holds everything: JetStream's files and the lock. It is created with mode 0700 when it is missing.
	DataDir string

	// SyncAlways has every write on disk before it is acknowledged: it survives a power cut. A few hundred to a few
	// thousand writes a second, depending on the disk.
	SyncAlways bool

	// SyncInterval is how often written data is synced to disk when SyncAlways is false; 0 is the server's own two
	// minutes. An acknowledged write survives the end of the process either way, but a power cut loses up to this much.
	SyncInterval time.Duration

	// Listen is the host:port of a TCP listener for native clients; port 0 takes a free one. Empty: no listener, and
	// only this process reaches the server.
	Listen string

	// AcceptLoss opens a store that has lost data for certain, which Start refuses otherwise.
	AcceptLoss bool

	// RecordEvery is how often the record of the streams is written; 0 is a minute.
	RecordEvery time.Duration

	// StopTimeout bounds Shutdown; 0 is ten seconds.
	StopTimeout time.Duration

	Logger zerolog.Logger
}

// Server is a running nats-server. Its methods are safe for concurrent use.
type Server struct {
	dir  string
	opts Options
	lock *dirLock

	mu      sync.RWMutex
	current *instance
	closed  bool

	stop    chan struct{} // ends the watch over the store, and the record
	watched sync.WaitGroup

	failure  atomic.Pointer[error] // why the store takes no writes, nil while it does
	unsynced atomic.Bool           // what was stored could not be synced
	recorder recorder
}

// An instance is one life of the nats-server: there is another when it had to be started again.
type instance struct {
	ns  *server.Server
	log *serverLog
}

// Start locks the data directory, reads what is stored in it, starts the server on it and returns when JetStream answers,
// within two minutes after the reading.
// The context bounds the start only; a server that has started runs until Shutdown.
//
// It fails with an *InUseError when another process holds the directory, and when the directory cannot be written, a
// stream in it cannot be read (see checkRecovered) or the address of Listen is taken.
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
		if !errors.Is(err, errHangs) { // or files may still be written
			err = errors.Join(err, lock.release())
		}
		return nil, fmt.Errorf("embedded nats-server did not start on %s: %w", dir, err)
	}
	if addr := s.current.ns.Addr(); addr != nil {
		s.opts.Listen = addr.String() // the port that a free one was taken for is kept
	}
	s.watched.Go(s.watchOver)
	s.watched.Go(s.keepRecord)
	if opts.syncsItself() {
		s.watched.Go(s.keepSynced)
	}
	return s, nil
}

// open starts the server on a store that has lost nothing, or whose loss is accepted.
func (s *Server) open(ctx context.Context) error {
	found, r, err := admit(ctx, s.dir, s.opts)
	if err != nil {
		return err
	}
	s.recorder.record = r.clone() // which begin changes
	if err := s.recorder.begin(s.dir, s.opts); err != nil {
		return err
	}
	i, err := launch(ctx, s.dir, s.opts)
	if err != nil {
		return err
	}
	losses, err := verify(i.ns, r)
	if err == nil {
		err = refuse(s.dir, losses, s.opts, true)
	}
	if err != nil {
		i.shutdown()
		return errors.Join(err, found.write(s.dir)) // the next start compares with the same
	}
	for _, l := range losses {
		s.recorder.record.forgive(l, nil, s.opts.Logger)
	}
	s.current = i
	return nil
}

// launch starts a nats-server on the directory, which is locked.
func launch(ctx context.Context, dir string, opts Options) (*instance, error) {
	if err := mend(dir, opts.Logger); err != nil {
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
	i.log.started.Store(true)
	return i, nil
}

// prepareDir returns the absolute path of a directory that exists. Its mode is for us alone, since the files in it are
// everything that was ever stored; one that exists already keeps the mode that its owner chose.
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

func serverOptions(dir string, opts Options) (*server.Options, error) {
	nopts := &server.Options{
		ServerName:             "kvgw-embedded",
		JetStream:              true,
		StoreDir:               dir,
		SyncAlways:             opts.SyncAlways,
		SyncInterval:           opts.serverInterval(),
		DontListen:             opts.Listen == "",
		NoSigs:                 true, // signals are run.go's
		DisableJetStreamBanner: true,
	}
	if opts.Listen == "" {
		return nopts, nil
	}
	host, port, err := net.SplitHostPort(opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address %q: %w", opts.Listen, err)
	}
	nopts.Host = host
	if nopts.Port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("listen address %q: port %q is not a number", opts.Listen, port)
	}
	if nopts.Port == 0 {
		nopts.Port = server.RANDOM_PORT // 0 would be the default port, 4222
	}
	return nopts, nil
}

// errHangs is why a start is given up of a server that may still be busy with its files.
var errHangs = errors.New("not ready")

// run starts the server and waits until it is ready. The server reports what stops its start only through its log, as
// a fatal line, and then stays half started; this turns that line into an error.
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
		go i.ns.Shutdown() // whatever hangs may hang that too
		return fmt.Errorf("%w: %w", errHangs, context.Cause(ctx))
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

func (s *Server) instance() *instance {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current
}

// InProcessConn returns a new connection to the server that needs no listener.
func (s *Server) InProcessConn() (net.Conn, error) { return s.instance().ns.InProcessConn() }

// ClientURL is the address of the listener, with the port it really has; empty when there is none.
func (s *Server) ClientURL() string {
	addr := s.instance().ns.Addr()
	if addr == nil {
		return ""
	}
	return "nats://" + addr.String()
}
