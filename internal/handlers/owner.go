package handlers

import "net/netip"

// ipv6Site is the length in bits of the address prefix of one site (RFC 6177). A site can choose
// the addresses below its prefix freely.
const ipv6Site = 64

// OwnerOf returns who owns what comes from a peer, such as a connection and what its requests take
// of bounds: the address of the peer, or of an IPv6 address the prefix of its site. It is "" if the
// peer has no such address. address has the address and port of the peer.
func OwnerOf(address string) string {
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return ""
	}
	return ownerOfAddress(peer.Addr())
}

// ownerOfAddress is [OwnerOf] of an address without a port.
func ownerOfAddress(ip netip.Addr) string {
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	site, err := ip.Prefix(ipv6Site)
	if err != nil {
		return ip.String()
	}
	return site.String()
}
