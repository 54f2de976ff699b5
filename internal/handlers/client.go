package handlers

import (
	"cmp"
	"net/http"
	"net/netip"
	"strings"

	"kvgateway/internal/bound"
)

// A client is who sent a request, as far as its connection and trusted proxies show it. Who may do
// what is another matter: see caller.
type client struct {
	// address is what logs call it: an IP address, or "uid=" and the user at the other end of a
	// Unix socket.
	address string
	// owner is who holds what the request takes of a bound, where it has no caller; see [OwnerOf].
	owner string
	// scheme is the one with which the client sent the request, "http" or "https"; "" if that is
	// not known, since a proxy may be before the gateway of which it was not told.
	scheme string
	// isBehindUnix says that the client came over a Unix socket, and no proxy has told its address.
	// All who come over it may be the clients of one proxy of which the gateway was not told.
	isBehindUnix bool
	// isProxied says that a trusted proxy has passed the request on. Its connection carries the
	// requests of other clients as well.
	isProxied bool
}

// credentialAddress returns the address for which what is dear to check of credentials is limited;
// "" if nothing is. On a Unix socket the permissions of the file say who may connect.
func (c *client) credentialAddress() string {
	if c.isBehindUnix {
		return ""
	}
	return c.owner
}

// Proxies are the proxies whose word counts about the address of a client, and its scheme. They
// must set the header that is read, and add to it what they were sent or remove that.
//
// Only one of the two headers in use is read, whatever a proxy passes on of the other: most proxies
// set one of them and leave the other as the client wrote it, so a gateway that read both would let
// clients choose their address.
type Proxies struct {
	// Addresses are those of the proxies.
	Addresses []netip.Prefix
	// Unix says that who connects to a Unix socket is a proxy.
	Unix bool
	// Forwarded says that Forwarded (RFC 7239) is read. Otherwise it is X-Forwarded-For, and
	// X-Forwarded-Proto.
	Forwarded bool
}

// trusts reports whether an address is that of a proxy.
func (p *Proxies) trusts(address netip.Addr) bool {
	for _, prefix := range p.Addresses {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// clientOf returns who sent a request.
func (s *Server) clientOf(r *http.Request) client {
	found, proxies := client{}, &s.options.Proxies
	c := connectionOf(r)
	if c != nil && c.isUnix {
		found.address, found.owner, found.isBehindUnix = c.owner, c.owner, true
		found.isProxied = proxies.Unix
	} else {
		found.address = clientAddress(r.RemoteAddr)
		found.owner = cmp.Or(bound.OwnerOf(r.Context()), found.address)
		found.isProxied = len(proxies.Addresses) > 0 && proxies.trustsPeer(r.RemoteAddr)
	}
	switch {
	case found.isProxied:
		address, scheme := proxies.told(r.Header)
		found.scheme = scheme
		if address.IsValid() {
			found.address, found.owner = address.String(), ownerOfAddress(address)
			found.isBehindUnix = false
		}
	case r.TLS != nil:
		found.scheme = "https"
	}
	return found
}

// trustsPeer reports whether the peer of a connection is a proxy.
func (p *Proxies) trustsPeer(peer string) bool {
	address, err := netip.ParseAddrPort(peer)
	return err == nil && p.trusts(address.Addr().Unmap().WithZone(""))
}

// told returns what the proxies say of the address and the scheme of the client. The address is
// zero if they do not say, and the scheme "".
func (p *Proxies) told(h http.Header) (address netip.Addr, scheme string) {
	if p.Forwarded {
		return p.toldByForwarded(h["Forwarded"])
	}
	address = p.toldByXForwardedFor(h["X-Forwarded-For"])
	if protos := h["X-Forwarded-Proto"]; len(protos) == 1 {
		scheme = parseScheme(protos[0])
	}
	return address, scheme
}

// parseScheme returns a scheme in lower case; "" if it is none that browsers use.
func parseScheme(s string) string {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "http", "https":
		return s
	}
	return ""
}

// toldByXForwardedFor returns the last address in the header's lines that is not that of a proxy:
// each proxy adds the address from which it was asked. What stands before may be the client's own
// invention. If all are proxies, the first is the client. What cannot be an address ends the
// search, and the proxy that was asked from there counts as the client; it is zero if that is the
// one that has connected to the gateway.
func (p *Proxies) toldByXForwardedFor(lines []string) (found netip.Addr) {
	for i := len(lines) - 1; i >= 0; i-- {
		rest, last := lines[i], ""
		for more := true; more; {
			comma := strings.LastIndexByte(rest, ',')
			last, more = rest[comma+1:], comma >= 0
			rest = rest[:max(comma, 0)]
			address, ok := parseNode(strings.Trim(last, " \t"))
			if !ok {
				return found
			}
			found = address
			if !p.trusts(address) {
				return found
			}
		}
	}
	return found
}

// toldByForwarded returns what the last element says that is not about a proxy, as
// toldByXForwardedFor does. A header with a mistake says nothing: a client could open quotation
// marks that swallow what a proxy adds.
func (p *Proxies) toldByForwarded(lines []string) (found netip.Addr, scheme string) {
	elements, ok := parseForwarded(strings.Join(lines, ","))
	if !ok {
		return netip.Addr{}, ""
	}
	for i := len(elements) - 1; i >= 0; i-- {
		address, ok := parseNode(elements[i].node)
		if !ok {
			return found, scheme
		}
		found, scheme = address, parseScheme(elements[i].proto)
		if !p.trusts(address) {
			break
		}
	}
	return found, scheme
}

// parseNode parses the address of a node, which may have a port (RFC 7239 §6). It returns false for
// what is no address, such as "unknown".
func parseNode(node string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(node)
	if err == nil {
		return address.Unmap().WithZone(""), true
	}
	if withPort, err := netip.ParseAddrPort(node); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	inner, bracketed := strings.CutPrefix(node, "[")
	if inner, closed := strings.CutSuffix(inner, "]"); bracketed && closed {
		address, err = netip.ParseAddr(inner)
		return address.Unmap().WithZone(""), err == nil && address.Is6()
	}
	return netip.Addr{}, false
}
