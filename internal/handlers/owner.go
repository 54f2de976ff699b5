package handlers

import (
	"net/http"
	"net/netip"

	"kvgateway/internal/bound"
)

// ipv6Site is the length in bits of the address prefix of one site (RFC 6177). A site can choose
// the addresses below its prefix freely.
const ipv6Site = 64

// ownerOf returns who holds what a request takes of a bound: the address of the client, or of an
// IPv6 address the prefix of its site. It is "" if the request did not come over the network.
func ownerOf(r *http.Request) string {
	if owner := bound.OwnerOf(r.Context()); owner != "" {
		return owner
	}
	return OwnerOf(r.RemoteAddr)
}

// OwnerOf returns who owns what comes from a peer, such as a connection. address has the address
// and port of the peer.
func OwnerOf(address string) string {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return ""
	}
	ip := peer.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	site, err := ip.Prefix(ipv6Site)
	if err != nil {
		return ip.String()
	}
	return site.String()
}

// owner returns who holds what the request takes of a bound.
func (x *exchange) owner() string { return ownerOf(x.request) }

// take takes size of a bound for the request, and waits for room as the bound says, but not longer
// than the client does. It is the way to take what no other request can have instead; what can be
// evicted is taken by the body ([requestBody.take]) and the delivery ([delivery.wait]).
func (x *exchange) take(of *bound.Bound, hold *bound.Hold, size int64) error {
	return of.Take(x.context(), hold, x.owner(), size, nil)
}

// takePart takes a place of a bound of which each connection of a client has a part.
func (x *exchange) takePart(of *bound.Bound, hold *bound.Hold) error {
	return of.Take(x.context(), hold, connectionPartOf(x.request), 1, nil)
}
