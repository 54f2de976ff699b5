package handlers_test

import (
	"net/netip"
	"strings"
	"testing"

	"kvgateway/internal/handlers"
)

// behindProxies starts a gateway that trusts its own machine and 10.0.0.0/8 as proxies.
func behindProxies(t *testing.T, forwarded bool) *gateway {
	t.Helper()
	return start(t, func(s *setup) {
		s.handlers.Proxies = handlers.Proxies{Forwarded: forwarded, Addresses: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"),
		}}
	})
}

// loggedClient returns the client that the access log names for a request with these headers.
func (g *gateway) loggedClient(t *testing.T, headers []string) string {
	t.Helper()
	before := len(g.accessLog(t))
	g.get(t, "/version", headers...)
	after := g.accessLog(t)
	if len(after) != before+1 {
		t.Fatalf("%d lines of the log, not %d", len(after), before+1)
	}
	return after[before].Client
}

func TestClientAddressIsTakenFromTrustedProxies(t *testing.T) {
	t.Parallel()
	lists, forwarded := behindProxies(t, false), behindProxies(t, true)
	for _, tc := range []struct {
		gateway *gateway
		want    string
		headers []string
	}{
		{lists, "127.0.0.1", nil},
		{lists, "192.0.2.1", []string{"X-Forwarded-For: 192.0.2.1"}},
		{lists, "192.0.2.2", []string{"X-Forwarded-For: 192.0.2.1, 192.0.2.2"}},
		{lists, "192.0.2.2", []string{"X-Forwarded-For: 192.0.2.1, 192.0.2.2, 10.1.2.3"}},
		{lists, "192.0.2.2", []string{"X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"}},
		{lists, "10.0.0.1", []string{"X-Forwarded-For: 10.0.0.1,10.0.0.2"}},
		{lists, "192.0.2.1", []string{"X-Forwarded-For: 192.0.2.1:4711"}},
		{lists, "2001:db8::1", []string{"X-Forwarded-For: 2001:DB8:0::1"}},
		{lists, "2001:db8::1", []string{"X-Forwarded-For: [2001:db8::1]:4711"}},
		{lists, "192.0.2.1", []string{"X-Forwarded-For: ::ffff:192.0.2.1"}},
		{lists, "fe80::1", []string{"X-Forwarded-For: fe80::1%eth0\" forged=\"1"}},
		// What is no address is told of by the proxy that is named after it.
		{lists, "127.0.0.1", []string{"X-Forwarded-For: unknown"}},
		{lists, "127.0.0.1", []string{"X-Forwarded-For: 192.0.2.1, "}},
		{lists, "127.0.0.1", []string{"X-Forwarded-For:"}},
		{lists, "10.0.0.1", []string{"X-Forwarded-For: 192.0.2.1, x\", \"forged\":\"1, 10.0.0.1"}},
		// Another spelling and another header are of no meaning.
		{lists, "127.0.0.1", []string{"X_Forwarded_For: 192.0.2.1", "X-Real-Ip: 192.0.2.1"}},
		{lists, "192.0.2.1", []string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.9"}},
		{lists, "127.0.0.1", []string{"Forwarded: for=192.0.2.9"}},

		{forwarded, "127.0.0.1", nil},
		{forwarded, "192.0.2.1", []string{"Forwarded: for=192.0.2.1;proto=https;by=203.0.113.4"}},
		{forwarded, "192.0.2.1", []string{`Forwarded: For="192.0.2.1:80"; Proto=http`}},
		{forwarded, "2001:db8::1", []string{`Forwarded: for="[2001:db8::1]"`}},
		{forwarded, "2001:db8::1", []string{`Forwarded: for="[2001:db8::\1]:4711"`}},
		{forwarded, "192.0.2.2", []string{"Forwarded: for=192.0.2.1, for=192.0.2.2",
			"Forwarded: for=10.0.0.1,, "}},
		{forwarded, "10.0.0.1", []string{"Forwarded: for=_hidden, for=10.0.0.1"}},
		{forwarded, "127.0.0.1", []string{"Forwarded: for=unknown"}},
		{forwarded, "127.0.0.1", []string{"Forwarded: proto=https"}},
		// A client cannot swallow what the proxy adds, nor say something twice.
		{forwarded, "127.0.0.1", []string{`Forwarded: for="192.0.2.1, for=192.0.2.2`}},
		{forwarded, "127.0.0.1", []string{"Forwarded: for=192.0.2.1;for=192.0.2.2"}},
		{forwarded, "127.0.0.1", []string{"Forwarded: for = 192.0.2.1"}},
		{forwarded, "127.0.0.1", []string{"X-Forwarded-For: 192.0.2.9"}},
	} {
		if got := tc.gateway.loggedClient(t, tc.headers); got != tc.want {
			t.Errorf("%q: the client is %q, want %q", tc.headers, got, tc.want)
		}
	}
}

func TestClientAddressIsTakenFromNobodyElse(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*gateway{
		"no proxy": start(t),
		"another": start(t, func(s *setup) {
			s.handlers.Proxies.Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}),
		"a socket": start(t, func(s *setup) { s.handlers.Proxies.Unix = true }),
	} {
		headers := []string{"X-Forwarded-For: 192.0.2.1", "Forwarded: for=192.0.2.1"}
		if got := g.loggedClient(t, headers); got != "127.0.0.1" {
			t.Errorf("%s is trusted: the client is %s", name, got)
		}
	}
}

// A page that was loaded over http must not write over https, where the scheme is known.
func TestOriginIsComparedWithItsScheme(t *testing.T) {
	t.Parallel()
	lists, forwarded, direct := behindProxies(t, false), behindProxies(t, true), start(t)
	for _, tc := range []struct {
		gateway *gateway
		origin  string
		header  string
		refused bool
	}{
		{lists, "https", "X-Forwarded-Proto: https", false},
		{lists, "http", "X-Forwarded-Proto: https", true},
		{lists, "https", "X-Forwarded-Proto: http", true},
		{lists, "http", "X-Forwarded-Proto: HTTPS", true},
		{lists, "http", "X-Forwarded-Proto: gopher", false}, // not known
		{lists, "http", "Forwarded: for=192.0.2.1;proto=https", false},
		{forwarded, "http", "Forwarded: for=192.0.2.1;proto=https", true},
		{forwarded, "https", "Forwarded: for=192.0.2.1;proto=https", false},
		{forwarded, "https", "Forwarded: for=192.0.2.1;proto=https, for=10.0.0.1;proto=http",
			false},
		{direct, "http", "X-Forwarded-Proto: https", false},
		{direct, "https", "X-Forwarded-Proto: http", false},
	} {
		a := tc.gateway.do(t, "PUT", "/buckets/none/keys/k", "v",
			"Origin: "+tc.origin+"://"+tc.gateway.address, tc.header)
		if refused := a.status == 403; refused != tc.refused {
			t.Errorf("Origin %s with %q: %d %s", tc.origin, tc.header, a.status, a.body)
		}
	}
}

// The address of the client, and not that of the proxy, has shares of bounds.
func TestClientBehindAProxyHasAShareOfItsOwn(t *testing.T) {
	t.Parallel()
	g := start(t, func(s *setup) {
		s.handlers.MaxStreams = 8 // of which one address may have six
		s.handlers.Proxies.Addresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	g.shop(t)
	watch := func(client string) int {
		conn := g.dial(t)
		s := g.sessionOn(conn)
		request := "GET /buckets/shop/watch HTTP/1.1\r\nHost: " + g.address +
			"\r\nX-Forwarded-For: 198.51.100.9, " + client + "\r\n\r\n"
		if _, err := conn.Write([]byte(request)); err != nil {
			t.Fatal(err)
		}
		line, err := s.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(line, " 200 "):
			return 200
		case strings.Contains(line, " 429 "):
			return 429
		}
		t.Fatalf("answer %q", line)
		return 0
	}
	for range 6 {
		if status := watch("192.0.2.1"); status != 200 {
			t.Fatalf("a stream within the share: %d", status)
		}
	}
	if status := watch("192.0.2.1"); status != 429 {
		t.Errorf("a stream beyond the share: %d", status)
	}
	if status := watch("192.0.2.2"); status != 200 {
		t.Errorf("a stream of another client: %d", status)
	}
}
