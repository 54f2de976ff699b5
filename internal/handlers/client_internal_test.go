//go:build unix

package handlers

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
)

// overUnix returns a request that comes over a Unix socket.
func overUnix(t *testing.T) *http.Request {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	client, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := httptest.NewRequest(http.MethodGet, "/buckets", nil)
	return r.WithContext(ConnContext(t.Context(), ownedByUser{conn}))
}

// An ownedByUser is a connection of which the listener knows the user at the other end.
type ownedByUser struct{ net.Conn }

// Owner returns the user.
func (ownedByUser) Owner() string { return "uid=33" }

// All requests that come over a Unix socket may be those of one proxy of which the gateway was not
// told, so the wrong credentials of one client must not count against the others.
func TestClientOverAUnixSocketHasNoAddressForCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trusted         bool
		forwarded, want string
	}{
		{false, "192.0.2.7", ""}, {false, "", ""}, {true, "", ""}, {true, "192.0.2.7", "192.0.2.7"},
	} {
		r := overUnix(t)
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		found := (&Server{options: Options{Proxies: Proxies{Unix: c.trusted}}}).clientOf(r)
		if got := found.credentialAddress(); got != c.want {
			t.Errorf("%+v: it is %q", c, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/buckets", nil)
	r.RemoteAddr = "192.0.2.9:1234"
	found := new(Server).clientOf(r)
	if got := found.credentialAddress(); got != "192.0.2.9" {
		t.Errorf("over TCP it is %q", got)
	}
}
