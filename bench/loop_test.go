package main

import (
	"errors"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestClosedLoopCountsEveryOperation(t *testing.T) {
	var done atomic.Int64
	work := func() error { done.Add(1); return nil }
	out, err := closedLoop([]step{work, work, work}, 10*time.Millisecond)
	if err != nil || out.Operations == 0 || out.Operations != done.Load() {
		t.Errorf("%+v, %v, of %d", out, err, done.Load())
	}
}

func TestClosedLoopFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := closedLoop([]step{func() error { return broken }}, time.Second); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// Every operation, over real sockets, against the handler that the comparison starts from.
func TestLoadGenerator(t *testing.T) {
	needsLinux(t)
	server := httptest.NewServer(bareHandler(valueSizes))
	defer server.Close()
	for _, c := range product(operations, []int{1, 8}, valueSizes) {
		d, err := openHTTP(server.Listener.Addr().String(), c)
		if err != nil {
			t.Fatal(c, err)
		}
		out, err := d.run(20 * time.Millisecond)
		d.close()
		if err != nil || out.Operations < int64(c.Connections) || out.P50 <= 0 || out.P99 < out.P50 {
			t.Errorf("%s: %+v, %v", c, out, err)
		}
	}
}

func TestLoadGeneratorRefusesErrors(t *testing.T) {
	needsLinux(t)
	server := httptest.NewServer(bareHandler(nil)) // knows no value: empty bodies
	defer server.Close()
	d, err := openHTTP(server.Listener.Addr().String(), cell{opGet, 1, 128})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.run(time.Second); err == nil || !strings.Contains(err.Error(), "0 bytes, not 128") {
		t.Errorf("error %v", err)
	}
}

// The raw workers, against a server as the raw role runs it.
func TestRawWorkers(t *testing.T) {
	natsServer, err := startNATS(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer natsServer.WaitForShutdown()
	defer natsServer.Shutdown()
	conn, err := nats.Connect(natsServer.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	service := &rawService{conn: conn, steps: make(map[cell][]step)}
	for _, op := range []string{opPut, opPutTTL} {
		if _, err := service.do(rawCall{Call: callPrepare, Cell: cell{op, 4, 128}}); err != nil {
			t.Fatal(op, err)
		}
	}
	for _, op := range allOperations {
		if _, err := service.do(rawCall{Call: callOpen, Cell: cell{op, 4, 128}}); err != nil {
			t.Fatal(op, err)
		}
		out, err := service.do(rawCall{Call: callRun, Cell: cell{op, 4, 128}, Time: 20 * time.Millisecond})
		if err != nil || out.Operations == 0 {
			t.Errorf("%s: %+v, %v", op, out, err)
		}
	}
}

func needsLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the load generator uses epoll")
	}
}
