package handlers

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kvgateway/internal/auth"
	"kvgateway/internal/bound"
	"kvgateway/internal/handlers/problem"
)

// MaxHeaderBytes bounds the headers of a request together, with all cookies of a browser.
//
// What net/http refuses itself is not a problem document, and has no id: a malformed request line
// or header (400), an Expect that it does not know (417), a request whose line and headers are
// larger than its limit of 260 KiB (431), and a Transfer-Encoding (501) or a version (505) that it
// does not know, are answered in plain text before a handler is called. The limit here is lower,
// and leaves room for a target of some size beside the headers, so that whatever lies between the
// two limits is answered with a problem (TestHeaderLimits, test/e2e).
const MaxHeaderBytes = 64 << 10

// sizeOfHeaders returns the bytes that headers take on the wire in HTTP/1.1.
func sizeOfHeaders(h http.Header) (n int) {
	for name, values := range h {
		for _, value := range values {
			n += len(name) + len(": \r\n") + len(value)
		}
	}
	return n
}

// admit refuses requests that must not reach an endpoint: those whose headers are too large, those
// to a host that is not this gateway's, and changes that a page of another site made a browser
// send. Any page can make the browser of its visitor send requests to localhost. Without these
// checks it could write through a gateway there that takes writes from everybody.
//
// A large head (request line and headers) is counted until the request ends.
func (s *Server) admit(x *exchange) error {
	size := sizeOfHeaders(x.request.Header)
	if size > MaxHeaderBytes {
		return problem.Error{Code: problem.HeaderTooLarge,
			Detail: "The request's headers have more than " + strconv.Itoa(MaxHeaderBytes) +
				" bytes together. Send fewer or shorter headers."}
	}
	if s.options.CheckHost && !s.knownHost(x.request.Host) {
		return unknownHost(x.request.Host)
	}
	switch x.request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
	default:
		if err := s.checkSite(x); err != nil {
			return err
		}
	}
	if size += len(x.request.RequestURI); size > UncountedHeadBytes {
		return s.largeHeads.TakeFor(x.context(), &x.largeHead, int64(size))
	}
	return nil
}

// UncountedHeadBytes is the size up to which a request's line and headers are not counted. Nearly
// all requests are smaller.
const UncountedHeadBytes = 8 << 10

// newLargeHeads returns the bound of the bytes of large request heads.
func newLargeHeads(set *bound.Set) *bound.Bound {
	const limit = 64 << 20
	return set.New(bound.Spec{
		Name: "request-heads",
		Of: "bytes of the request lines and headers of requests " +
			"under way, if a request has more than 8 KiB",
		Unit: bound.Bytes, Limit: limit, PerOwner: limit / 2, Wait: answerWait, Queue: 1024,
		AtLimit: "a request waits 5 s and is then refused with 429 or 503",
	})
}

// knownHost reports whether a Host header names the loopback of this machine or an allowed host. It
// protects from DNS rebinding: a page of another site whose name was made to resolve to 127.0.0.1
// sends its own name.
func (s *Server) knownHost(hostport string) bool {
	host := hostOf(hostport)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if address, err := netip.ParseAddr(host); err == nil && address.IsLoopback() {
		return true
	}
	return slices.Contains(s.options.AllowedHosts, host)
}

// hostOf returns the host of a Host header, in lower case and without a port.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// checkAnonymousHost refuses a caller without a credential that came by a host name which is not
// known to be the gateway's. It has the rights of everybody who can reach this address, so that a
// page of any site could use them from the browsers that can, through a host name of its own that
// leads here (DNS rebinding). An IP address leads nowhere else, and no browser reaches a Unix
// socket. Without an auth file, --allow-anonymous has said that this may be so.
func (s *Server) checkAnonymousHost(x *exchange) error {
	if s.options.Gate == nil || x.caller.Kind != auth.Anonymous {
		return nil
	}
	host := x.request.Host
	_, notAddress := netip.ParseAddr(hostOf(host))
	c := connectionOf(x.request)
	if notAddress == nil || s.knownHost(host) || c != nil && c.isUnix {
		return nil
	}
	p := problem.New(problem.UnknownHost)
	p.Detail = fmt.Sprintf("The request has no credential, and came with Host %.100q, which is "+
		"not known to be a name of this gateway: a page of any site could have such a name lead "+
		"here. Nothing was done. Start the gateway with --allowed-host and that name, without a "+
		"port, or send a credential.", host)
	return p
}

// unknownHost returns the problem of a request to a host that is not the gateway's. An operator who
// has allowed the host of the site, and still gets this, has a proxy that replaces Host.
func unknownHost(host string) problem.Error {
	p := problem.New(problem.UnknownHost)
	p.Detail = fmt.Sprintf("The request came with Host %.100q, to which this gateway does not "+
		"answer, and nothing was done. If that is the host that the client asked for, start the "+
		"gateway with --allowed-host and that name, without a port, or send requests to localhost "+
		"or 127.0.0.1. If the client asked for another one, a proxy before the gateway has "+
		"replaced Host: make it pass Host on as it came (nginx: proxy_set_header Host "+
		"$http_host).", host)
	return p
}

// checkSite refuses a request if the browser says that a page of another origin sent it (Fetch
// Metadata, RFC 6454 §7), unless that origin is allowed. It is stricter than
// [http.CrossOriginProtection]: it also compares the scheme and, where both headers came, wants
// both to say that the origin is the gateway's.
func (s *Server) checkSite(x *exchange) error {
	r := x.request
	origin := r.Header.Get("Origin")
	if origin != "" && slices.Contains(s.options.AllowOrigins, origin) {
		return nil
	}
	site := r.Header.Get("Sec-Fetch-Site")
	ownSite := site == "" || site == "same-origin" || site == "none"
	ownOrigin := origin == "" || origin == s.publicOrigin ||
		sameOrigin(origin, x.client.scheme, r.Host)
	if !ownSite || !ownOrigin {
		return crossSite(r, origin, site)
	}
	return nil
}

// checkAmbient refuses a request of a page of another origin whose caller is known by what the
// browser adds by itself: a client certificate, or a password that it remembers. The page could not
// read the answer, but it could tell from its status or its time what there is, and hold streams
// open. A link that the user follows is let through. A ticket that was presented has its own check.
func (s *Server) checkAmbient(x *exchange, ticket string) error {
	h := x.request.Header
	scheme, _, _ := strings.Cut(h.Get("Authorization"), " ")
	isBasic := strings.EqualFold(scheme, "Basic")
	isLink := x.request.Method == http.MethodGet && h.Get("Sec-Fetch-Mode") == "navigate" &&
		h.Get("Sec-Fetch-Dest") == "document"
	if ticket != "" || isLink || !isBasic && x.caller.Kind != auth.Certificate {
		return nil
	}
	return s.checkSite(x)
}

// crossSite returns the problem of a change that seems to come from a page of another origin. Its
// usual cause is a proxy before the gateway that replaces Host. That is possible unless the browser
// itself says that the page is of another site.
func crossSite(r *http.Request, origin, site string) problem.Error {
	p := problem.New(problem.CrossSite)
	if origin == "" || site == "cross-site" {
		return p
	}
	p.Detail = fmt.Sprintf("Origin is %.100q and Host is %.100q, so the request seems to come "+
		"from a page of another origin, which may not change anything here. Nothing was done. "+
		"If both should name the same host, a proxy before the gateway has replaced Host: make "+
		"it pass Host on as it came (nginx: proxy_set_header Host $http_host). Otherwise start "+
		"the gateway with --allow-origin and that page's origin.", origin, r.Host)
	return p
}

// sameOrigin reports whether an Origin header names the host that the request was sent to, with the
// scheme of the request. An unknown scheme is not compared: behind a proxy that ends TLS, and that
// the gateway was not told of, it does not know the scheme.
func sameOrigin(origin, scheme, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Scheme+"://"+u.Host, origin) &&
		(scheme == "" || strings.EqualFold(u.Scheme, scheme)) &&
		strings.EqualFold(u.Host, host)
}

// checkDestination refuses a request of a browser that would run or embed the value: a stored file
// must not become a script in the gateway's own origin.
func checkDestination(r *http.Request) error {
	switch dest := r.Header.Get("Sec-Fetch-Dest"); dest {
	case "script", "style", "worker", "sharedworker", "serviceworker", "object", "embed":
		return problem.Error{Code: problem.ForbiddenDestination,
			Detail: "A stored value is not served as a " + dest + " of a page. " +
				"Fetch it as data instead."}
	}
	return nil
}
