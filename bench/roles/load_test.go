package roles

import (
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"kvgateway/bench/load"
)

// Every operation, over real sockets, against the handler that the comparison starts from.
func TestLoadGenerator(t *testing.T) {
	needsLinux(t)
	sizes := []int{128, 4096}
	server := httptest.NewServer(bareHandler(sizes))
	defer server.Close()
	for _, operation := range []string{
		load.OpGet, load.OpPut, load.OpCAS, load.OpGetCached, load.OpGetSame,
	} {
		for _, connections := range []int{1, 8} {
			for _, size := range sizes {
				testDriver(t, server.Listener.Addr().String(),
					load.Cell{Operation: operation, Connections: connections, ValueBytes: size})
			}
		}
	}
}

func testDriver(t *testing.T, address string, c load.Cell) {
	t.Helper()
	d, err := load.OpenHTTP(address, c)
	if err != nil {
		t.Fatal(c, err)
	}
	defer d.Close()
	out, err := d.Run(20 * time.Millisecond)
	if err != nil || out.Operations < int64(c.Connections) || out.P50 <= 0 || out.P99 < out.P50 {
		t.Errorf("%s: %+v, %v", c, out, err)
	}
}

func TestLoadGeneratorRefusesErrors(t *testing.T) {
	needsLinux(t)
	server := httptest.NewServer(bareHandler(nil)) // It knows no value: bodies are empty.
	defer server.Close()
	d, err := load.OpenHTTP(server.Listener.Addr().String(), load.Cell{
		Operation: load.OpGet, Connections: 1, ValueBytes: 128})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Run(time.Second); err == nil ||
		!strings.Contains(err.Error(), "0 bytes, not 128") {
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
	service := &rawService{conn: conn, steps: make(map[load.Cell][]load.Step)}
	do := func(call, operation string) load.Outcome {
		t.Helper()
		cell := load.Cell{Operation: operation, Connections: 4, ValueBytes: 128}
		out, err := service.do(rawCall{Call: call, Cell: cell, Time: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(call, operation, err)
		}
		return out
	}
	for _, operation := range []string{load.OpPut, load.OpPutTTL} {
		do(callPrepare, operation)
	}
	for _, operation := range load.AllOperations {
		do(callOpen, operation)
		if out := do(callRun, operation); out.Operations == 0 {
			t.Errorf("%s: %+v", operation, out)
		}
	}
}

func needsLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the load generator uses epoll")
	}
}
