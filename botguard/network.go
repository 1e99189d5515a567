package botguard

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"fairgate/internal/sale"
)

// Networks are keyed hashes of a client's networks. An IPv4 address inside IPv6 (::ffff:0:0/96) is IPv4; all invalid addresses share
// one set.
func (g *Guard) Networks(a netip.Addr) (n sale.Networks) {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		n.Narrow, n.Wide = g.network(a, 32), g.network(a, 24)
	} else {
		n.Narrow, n.Wide, n.Broad = g.network(a, 56), g.network(a, 48), g.network(a, 32)
	}
	if number := g.origins.of(a); number != 0 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], number)
		n.Origin = g.number("origin", b[:])
	}
	return n
}

func (g *Guard) network(a netip.Addr, bits int) uint64 {
	b := networkBytes(a, bits)
	return g.number("network", b[:])
}

// number is a keyed hash of 64 bits, never 0.
func (g *Guard) number(purpose string, b []byte) uint64 {
	return max(binary.LittleEndian.Uint64(g.mac(purpose, b)), 1)
}

// networkBytes is a network as bytes: length of the address, length of the prefix, address. All invalid ones are alike.
func networkBytes(a netip.Addr, bits int) (b [18]byte) {
	if p, err := a.Prefix(bits); err == nil {
		masked := p.Addr().As16()
		copy(b[2:], masked[:])
		b[0], b[1] = byte(a.BitLen()/8), byte(bits)
	}
	return b
}

// mac is HMAC-SHA256 under the secret; purposes never share values.
func (g *Guard) mac(purpose string, b []byte) []byte {
	h := hmac.New(sha256.New, g.secret)
	h.Write([]byte("fairgate botguard " + purpose + "\x00"))
	h.Write(b)
	return h.Sum(nil)
}

// Carrier says whether an address belongs to a listed carrier.
func (g *Guard) Carrier(a netip.Addr) bool { return g.carriers.contains(a.Unmap().WithZone("")) }

// appealCode is what a refused person quotes: ten letters and digits, the same for a visitor, network and action for an
// hour. It says nothing about anybody without the log line.
func (g *Guard) appealCode(r Request, now time.Time) string {
	bits := 56
	if r.Address.Is4() {
		bits = 32
	}
	b := binary.LittleEndian.AppendUint64(nil, g.network(r.Address, bits))
	b = append(b, r.Visitor[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(now.Unix()/3600))
	code := base32.StdEncoding.EncodeToString(g.mac("appeal "+r.Action, b))
	return code[:5] + "-" + code[5:10]
}

// prefixes is a set of networks that answers in a few look-ups, however many there are.
type prefixes struct {
	set     map[netip.Prefix]struct{}
	lengths [2][]int // lengths that occur, IPv4 and IPv6
}

func newPrefixes(list []netip.Prefix) prefixes {
	p := prefixes{set: make(map[netip.Prefix]struct{}, len(list))}
	var seen [2][129]bool
	for _, n := range list {
		if !n.IsValid() {
			continue
		}
		if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(a.Unmap(), n.Bits()-96)
		}
		n = n.Masked()
		p.set[n] = struct{}{}
		f := family(n.Addr())
		if !seen[f][n.Bits()] {
			seen[f][n.Bits()] = true
			p.lengths[f] = append(p.lengths[f], n.Bits())
		}
	}
	return p
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

func (p *prefixes) contains(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	for _, bits := range p.lengths[family(a)] {
		if n, err := a.Prefix(bits); err == nil {
			if _, ok := p.set[n]; ok {
				return true
			}
		}
	}
	return false
}

// MaxHops is how many entries of an address header are looked at, from the right.
const MaxHops = 32

// errNoAddress is why a client's address is not known.
var errNoAddress = errors.New("no address")

// ClientAddress is the client's address. The header (a list such as X-Forwarded-For: client, proxy, proxy) counts only
// when the peer is a trusted proxy; it is then read from the right, and the first address that is no trusted proxy is
// the client, whatever stands left of it. A trusted proxy's entry that is no address, or more than MaxHops trusted
// ones, is an error, since the client cannot be told from the proxies then. Without a header the peer is the client.
func ClientAddress(peer netip.Addr, header string, trusted []netip.Prefix) (netip.Addr, error) {
	set := newPrefixes(trusted)
	return clientAddress(peer, header, &set)
}

// ClientAddress is the package's function with the configured proxies; header is the value of Config.Header.
func (g *Guard) ClientAddress(peer netip.Addr, header string) (netip.Addr, error) {
	return clientAddress(peer, header, &g.trusted)
}

// Header is the name of the header that lists addresses.
func (g *Guard) Header() string { return g.config.Header }

func clientAddress(peer netip.Addr, header string, trusted *prefixes) (netip.Addr, error) {
	peer = peer.Unmap().WithZone("")
	if !peer.IsValid() {
		return netip.Addr{}, fmt.Errorf("peer: %w", errNoAddress)
	}
	client := peer
	for hop := 0; trusted.contains(client) && strings.TrimSpace(header) != ""; hop++ {
		if hop == MaxHops {
			return netip.Addr{}, fmt.Errorf("more than %d proxies: %w", MaxHops, errNoAddress)
		}
		entry := header
		if comma := strings.LastIndexByte(header, ','); comma >= 0 {
			header, entry = header[:comma], header[comma+1:]
		} else {
			header = ""
		}
		next, err := parseHop(strings.TrimSpace(entry))
		if err != nil {
			return netip.Addr{}, err
		}
		client = next
	}
	return client, nil
}

// parseHop reads an address, alone or with a port.
func parseHop(s string) (netip.Addr, error) {
	if len(s) <= 64 {
		if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
			return a.Unmap().WithZone(""), nil
		}
		if ap, err := netip.ParseAddrPort(s); err == nil {
			return ap.Addr().Unmap().WithZone(""), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("entry of a trusted proxy: %w", errNoAddress)
}
