package natsd_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"kvgateway/internal/natsd"
)

// start runs a server and stops it at the end of the test, if the test has not done so.
func start(t *testing.T, opts natsd.Options) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(t.Context(), opts)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	return s
}

// A syncBuffer collects log lines. A server may write them even while it ends.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// connect connects to a server in this process.
func connect(t *testing.T, s *natsd.Server) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	return over(t, nc, err)
}

// over is the JetStream over a connection, if err is nil. The connection ends with the test.
func over(t *testing.T, nc *nats.Conn, err error) jetstream.JetStream {
	t.Helper()
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// bucket opens the bucket "shop", and creates it if it is missing.
func bucket(t *testing.T, s *natsd.Server) jetstream.KeyValue {
	t.Helper()
	kv, err := connect(t, s).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "shop"})
	if err != nil {
		t.Fatalf("create bucket: %v", err)
	}
	return kv
}

func put(t *testing.T, kv jetstream.KeyValue, key, value string) {
	t.Helper()
	if _, err := kv.PutString(t.Context(), key, value); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func wantValue(t *testing.T, kv jetstream.KeyValue, key, want string) {
	t.Helper()
	entry, err := kv.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if got := string(entry.Value()); got != want {
		t.Errorf("%s = %q, want %q", key, got, want)
	}
}

func TestDataSurvivesARestart(t *testing.T) {
	for name, opts := range map[string]natsd.Options{
		"sync always":   {SyncAlways: true},
		"sync interval": {SyncInterval: 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			opts.DataDir = filepath.Join(t.TempDir(), "made", "for us")
			s := start(t, opts)
			put(t, bucket(t, s), "a", "1")
			s.Shutdown()
			wantValue(t, bucket(t, start(t, opts)), "a", "1")
		})
	}
}

func TestSyncSettingsReachTheServer(t *testing.T) {
	for _, tc := range []struct {
		opts     natsd.Options
		always   bool
		interval time.Duration
	}{
		{natsd.Options{SyncAlways: true}, true, 2 * time.Minute},
		// With a shorter interval than the server's own, natsd syncs itself.
		{natsd.Options{SyncInterval: 250 * time.Millisecond}, false, 2 * time.Minute},
		{natsd.Options{SyncInterval: time.Hour}, false, time.Hour},
		{natsd.Options{}, false, 2 * time.Minute},
	} {
		tc.opts.DataDir = t.TempDir()
		got := start(t, tc.opts).JetStreamConfig()
		if got.SyncAlways != tc.always || got.SyncInterval != tc.interval {
			t.Errorf("%+v: server has always=%v interval=%v",
				tc.opts, got.SyncAlways, got.SyncInterval)
		}
		if want := filepath.Join(tc.opts.DataDir, "jetstream"); got.StoreDir != want {
			t.Errorf("store directory %s, want %s", got.StoreDir, want)
		}
	}
}

func TestDataDirectoryIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	start(t, natsd.Options{DataDir: dir})
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode %o, want 700", got)
	}
}

func TestSecondStartNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	first := start(t, natsd.Options{DataDir: dir})

	tried := time.Now()
	_, err := natsd.Start(t.Context(), natsd.Options{DataDir: dir})
	if took := time.Since(tried); took > time.Second {
		t.Errorf("refused after %v, want at once", took)
	}
	var inUse *natsd.InUseError
	if !errors.As(err, &inUse) {
		t.Fatalf("error %v, want an InUseError", err)
	}
	process := "process " + strconv.Itoa(os.Getpid()) + " "
	if !strings.Contains(err.Error(), process) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %q names neither holder nor directory", err)
	}
	if since := inUse.Holder.Since; since.Before(began.Add(-time.Second)) || since.After(tried) {
		t.Errorf("held since %v, want about %v", since, began)
	}

	first.Shutdown()
	start(t, natsd.Options{DataDir: dir}) // the lock is released
}

func TestServerListensOnlyOnRequest(t *testing.T) {
	quiet := start(t, natsd.Options{DataDir: t.TempDir()})
	if url := quiet.ClientURL(); url != "" {
		t.Errorf("listens on %s without being asked", url)
	}

	open := start(t, natsd.Options{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	put(t, bucket(t, open), "a", "1")
	nc, err := nats.Connect(open.ClientURL())
	wantValue(t, existing(t, over(t, nc, err)), "a", "1")
}

func TestStartRefusesUnusableSettings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		opts natsd.Options
		want string
	}{
		"no directory":        {natsd.Options{}, "needs a data directory"},
		"a file in its place": {natsd.Options{DataDir: file}, "not a directory"},
		"address without port": {
			natsd.Options{DataDir: dir, Listen: "localhost"}, "missing port"},
		"port in use": {
			natsd.Options{DataDir: dir, Listen: taken.Addr().String()}, "address already in use"},
		"WebSocket port in use": {
			natsd.Options{DataDir: dir, WSListen: taken.Addr().String()}, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := natsd.Start(t.Context(), tc.opts)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	// No refused start leaves the directory locked.
	start(t, natsd.Options{DataDir: dir})
}

func TestUnwritableDirectoryIsRefused(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	_, err := natsd.Start(t.Context(), natsd.Options{DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Fatalf("error %v, want permission denied", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := natsd.Start(ctx, natsd.Options{DataDir: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
}

func TestServerLogIsPassedOn(t *testing.T) {
	var out syncBuffer
	logger := zerolog.New(&out).Level(zerolog.DebugLevel)
	s := start(t, natsd.Options{DataDir: t.TempDir(), Logger: logger})
	s.Shutdown()
	log := out.String()
	for _, want := range []string{
		`"level":"debug"`, `"component":"nats-server"`, `"message":"Server is ready"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
	for _, level := range []string{"info", "warn", "error", "fatal"} {
		if strings.Contains(log, `"level":"`+level+`"`) {
			t.Errorf("a normal start and stop logs at level %s:\n%s", level, log)
		}
	}
}
