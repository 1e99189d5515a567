package crowd

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Networks is how the fans spread over addresses. The server must take the crowd's own address for a proxy's, for each
// fan names its address in X-Forwarded-For. The addresses are those set aside for tests and documents (RFC 2544, RFC
// 3849). Zero values stand for the defaults in brackets.
type Networks struct {
	PerAddress int // most fans of an ordinary address [2]
	PerNetwork int // most fans of an ordinary /24 or /48 [8]
	Crammed    int // fans behind one single address, as a carrier or a school has it [one in 100, 6 to 20; none of less than 60]
}

// Validate refuses numbers below zero and networks smaller than their addresses.
func (n Networks) Validate() error {
	if n.PerAddress < 0 || n.PerNetwork < 0 || n.Crammed < 0 || n.PerAddress > 1000 || n.PerNetwork > 1000 {
		return errors.New("Networks: expected numbers from 0 to 1000")
	}
	n = n.withDefaults(0)
	if n.PerNetwork < n.PerAddress {
		return errors.New("Networks: PerNetwork: expected at least PerAddress")
	}
	return nil
}

func (n Networks) withDefaults(fans int64) Networks {
	or(&n.PerAddress, 2)
	or(&n.PerNetwork, max(8, n.PerAddress))
	if n.Crammed == 0 && fans >= 60 {
		n.Crammed = int(min(max(fans/100, 6), 20))
	}
	return n
}

const (
	networksIPv4 = 512     // /24s in 198.18.0.0/15
	networksIPv6 = 1 << 16 // /48s in 2001:db8::/32
)

// crammedAddress is the one that many share.
func crammedAddress() netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, 7}) }

// address is the address of a fan of a crowd of so many. Half the networks are IPv4 while there are any, the rest IPv6.
func (n Networks) address(seed uint64, index, fans int64) netip.Addr {
	n = n.withDefaults(fans)
	if n.Crammed > 0 {
		// The crammed ones come evenly spread over the crowd's first arrivals.
		every := max(1, fans/int64(n.Crammed))
		if index%every == 0 && index/every < int64(n.Crammed) {
			return crammedAddress()
		}
	}
	network, within := uint64(index)/uint64(n.PerNetwork), uint64(index)%uint64(n.PerNetwork)
	host := byte(1 + within/uint64(n.PerAddress)%250)
	shift := scramble(seed)
	if network%2 == 0 && network/2 < networksIPv4 {
		v := (network/2 + shift) % networksIPv4
		return netip.AddrFrom4([4]byte{198, 18 + byte(v>>8), byte(v), host})
	}
	var b [16]byte
	binary.BigEndian.PutUint32(b[:4], 0x20010db8)
	binary.BigEndian.PutUint16(b[4:6], uint16((network+shift)%networksIPv6))
	b[6] = host // a /56 of its own in the /48
	b[15] = 1
	return netip.AddrFrom16(b)
}
