package handlers

import (
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
	if owner := bound.OwnerOf(r.Context()); owner != "" {
		return owner
	}
	return OwnerOf(r.RemoteAddr)
}

// OwnerOf returns who owns what comes from a peer of that address and port, such as a connection.
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
