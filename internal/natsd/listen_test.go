package natsd_test

import (
	"net/http"
	"testing"

	"github.com/nats-io/nats.go"

	"kvgateway/internal/natsd"
)

// dialWS connects over WebSocket as a page of an origin does, or as a program does if it is empty.
func dialWS(url, origin string) (*nats.Conn, error) {
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	return nats.Connect(url, nats.WebSocketConnectionHeaders(header), nats.MaxReconnects(0))
}

func TestWebSocketListenerSharesBuckets(t *testing.T) {
	s := start(t, natsd.Options{DataDir: t.TempDir(), WSListen: "127.0.0.1:0"})
	put(t, bucket(t, s), "a", "1")
	if url := s.ClientURL(); url != "" {
		t.Errorf("listens on %s without being asked", url)
	}
	nc, err := dialWS(s.WebSocketURL(), "")
	kv := existing(t, over(t, nc, err))
	wantValue(t, kv, "a", "1")
	put(t, kv, "b", "2")
	wantValue(t, bucket(t, s), "b", "2")

	if url := start(t, natsd.Options{DataDir: t.TempDir()}).WebSocketURL(); url != "" {
		t.Errorf("listens on %s without being asked", url)
	}
}

// Pages may connect only from the origins that are allowed. A page whose host name was made to
// point to this machine has the listener's own address as its origin, and is refused as well.
func TestWebSocketListenerChecksOrigins(t *testing.T) {
	allowed := []string{"https://app.example.com", "http://localhost:3000", "http://localhost:5173"}
	for name, tc := range map[string]struct {
		allowed []string
		origin  string
		enters  bool
	}{
		"a program":                {nil, "", true},
		"a page, none allowed":     {nil, "https://app.example.com", false},
		"the listener's own":       {nil, "same", false},
		"the listener's own, list": {allowed, "same", false},
		"an allowed page":          {allowed, "https://app.example.com", true},
		"an allowed port":          {allowed, "http://localhost:3000", true},
		"another allowed port":     {allowed, "http://localhost:5173", true},
		"another port":             {allowed, "http://localhost:8080", false},
		"another scheme":           {allowed, "http://app.example.com", false},
		"another host":             {allowed, "https://evil.example.com", false},
		"a sandboxed page":         {allowed, "null", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, natsd.Options{
				DataDir: t.TempDir(), WSListen: "127.0.0.1:0", WSOrigins: tc.allowed})
			if tc.origin == "same" {
				tc.origin = "http" + s.WebSocketURL()[len("ws"):]
			}
			nc, err := dialWS(s.WebSocketURL(), tc.origin)
			if err == nil {
				nc.Close()
			}
			if (err == nil) != tc.enters {
				t.Errorf("a connection with origin %q: %v", tc.origin, err)
			}
		})
	}
}

// The bound on connections counts those over WebSocket.
func TestWebSocketConnectionsAreBounded(t *testing.T) {
	s := start(t, natsd.Options{
		DataDir: t.TempDir(), WSListen: "127.0.0.1:0", Clients: streamsBound(2)})
	for n := range 3 {
		nc, err := dialWS(s.WebSocketURL(), "")
		if err == nil {
			defer nc.Close()
		}
		if (err == nil) != (n < 2) {
			t.Errorf("connection %d: %v", n, err)
		}
	}
}
