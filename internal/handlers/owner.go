package handlers

import (
	"context"
	"net/http"
	"net/netip"

	"kvgateway/internal/bound"
)

// ipv6Site is the length in bits of the prefix that one site has, whose addresses are its own to
// choose (RFC 6177).
const ipv6Site = 64

// ownerOf returns who holds what a request takes of a bound: the client's address, and of an IPv6
// address the prefix of its site. It is "" where the request did not come over the network.
func ownerOf(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := peer.Addr().Unmap()
	if address.Is4() {
		return address.String()
	}
	site, err := address.Prefix(ipv6Site)
	if err != nil {
		return address.String()
	}
	return site.String()
}

// owned returns the request's context with its owner, for work that takes places further inside.
func owned(r *http.Request) context.Context { return bound.WithOwner(r.Context(), ownerOf(r)) }
