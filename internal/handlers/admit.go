package handlers

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kvgateway/internal/bound"
)

// MaxHeaderBytes bounds a request's headers, a browser's cookies and all. The bound of http.Server, above which net/http answers
// in plain text before a handler is asked, must leave room for a target of some size beside them.
const MaxHeaderBytes = 64 << 10

// sizeOfHeaders is what headers take on the wire, in HTTP/1.1.
func sizeOfHeaders(h http.Header) (n int) {
	for name, values := range h {
		for _, value := range values {
			n += len(name) + len(": \r\n") + len(value)
		}
	}
	return n
}

// admit refuses headers that are too large, and what a page of another site made a browser send. Loopback is as ambient as a cookie: without these checks an
// open writer on localhost is any web page's writer.
func (s *Server) admit(rec *recorder, r *http.Request) error {
	size := sizeOfHeaders(r.Header)
	if size > MaxHeaderBytes {
		return problemError{code: codeHeaderTooLarge, detail: "The request's headers are larger than " + strconv.Itoa(MaxHeaderBytes) +
			" bytes together. Send fewer or shorter ones."}
	}
	if s.options.CheckHost && !s.knownHost(r.Host) {
		return problemError{code: codeUnknownHost, detail: "This gateway does not answer to the host in the request's Host header. " +
			"Use a loopback name or address, or start the gateway with --allowed-host."}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		if err := s.checkSite(r); err != nil {
			return err
		}
	}
	if size += len(r.RequestURI); size > FreeHead {
		return s.heads.Take(r.Context(), &rec.heads, ownerOf(r), int64(size), nil)
	}
	return nil
}

// FreeHead is the size in bytes up to which a request's line and headers are not counted. Nearly all
// requests have less.
const FreeHead = 8 << 10

func newHeads(set *bound.Set) *bound.Bound {
	const limit = 64 << 20
	return set.New(bound.Spec{
		Name: "request-heads",
		Of:   "bytes of the lines and headers of requests under way that have more than 8 KiB of them",
		Unit: bound.Bytes, Limit: limit, PerOwner: limit / 2, Wait: answerWait, Queue: 1024,
		AtLimit: "a request waits 5 s and is then refused with 429 or 503",
	})
}

// knownHost tells whether a Host header names this machine's loopback or an allowed host. A page of another site whose name
// was rebound to 127.0.0.1 sends its own name.
func (s *Server) knownHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if address, err := netip.ParseAddr(host); err == nil && address.IsLoopback() {
		return true
	}
	return slices.Contains(s.options.AllowedHosts, host)
}

// checkSite refuses a request that changes state if a browser says that another origin's page sent it (Fetch Metadata,
// RFC 6454 §7), unless that origin is allowed.
func (s *Server) checkSite(r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin != "" && slices.Contains(s.options.AllowOrigins, origin) {
		return nil
	}
	site := r.Header.Get("Sec-Fetch-Site")
	if site == "cross-site" || origin != "" && !sameOrigin(origin, r) {
		return problemError{code: codeCrossSite, detail: "A page of another origin may not change anything here. " +
			"If it should, start the gateway with --allow-origin and that page's origin."}
	}
	return nil
}

// sameOrigin compares an Origin with the Host that the request was sent to. The scheme is not compared: behind a proxy that
// ends TLS the gateway does not know it.
func sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Scheme+"://"+u.Host, origin) && strings.EqualFold(u.Host, r.Host)
}

// checkDestination refuses to be run or embedded: a stored file must not become a script in the gateway's own origin.
func checkDestination(r *http.Request) error {
	switch dest := r.Header.Get("Sec-Fetch-Dest"); dest {
	case "script", "style", "worker", "sharedworker", "serviceworker", "object", "embed":
		return problemError{code: codeForbiddenDestination, detail: "A stored value is not served as a " + dest +
			" of a page. Fetch it as data instead."}
	}
	return nil
}
