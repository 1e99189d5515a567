package bots

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Kind is who stands in line, by what they solve with.
type Kind uint8

// The kinds.
const (
	Low    Kind = iota // a slow phone
	Mid                // a phone
	Laptop             // or a fast phone
	Plain              // a person without JavaScript, who waits instead of solving
	Bot
	kinds
)

var kindNames = [kinds]string{"low", "mid", "laptop", "plain", "bot"}

func (k Kind) String() string { return kindNames[k] }

// Behind is what a person's address is.
type Behind uint8

// What people are behind.
const (
	Home     Behind = iota // an address of one's own
	Listed                 // a carrier's, with a hundred others, that the server knows as one
	Unlisted               // likewise, and the server does not know
	behinds
)

// party is a person, or one of a bot's places.
type party struct {
	kind   Kind
	behind Behind
	addr   netip.Addr
	at     time.Duration // arrival
	speed  float64       // hashes a second

	secret, challenge string // what the server gave
	token, place      string
	lane, key         string
	factor            float64       // price, in base prices
	took              time.Duration // from arrival to token
	tries             int
	state             state
}

type state uint8

const (
	coming state = iota
	refused
	joined
	won
)

const (
	sharedBy      = 100 // people behind a carrier's address
	homesPerBlock = 5   // of two /24s
	blocks        = 50  // IPv6 /32s that people come from
)

// people makes the crowd: devices, addresses and arrivals evenly over the pre-queue.
func people(c *Config, rnd *rand.Rand) []*party {
	list := make([]*party, c.People())
	shared := len(list) * 4 / 100 // of each sort of carrier
	for i := range list {
		p := &party{at: time.Duration(rnd.Float64() * float64(Prequeue))}
		p.kind, p.speed = device(rnd)
		p.speed *= c.Speeds
		if rnd.Float64() < 0.01 {
			p.kind = Plain
		}
		switch {
		case i < shared:
			p.behind, p.addr = Listed, carrierAddress(64+c.Salt, i/sharedBy)
		case i < 2*shared:
			p.behind, p.addr = Unlisted, carrierAddress(80+c.Salt, i/sharedBy)
		case rnd.Float64() < 0.4:
			p.addr = homeIPv6(c.Salt, rnd)
		default:
			p.addr = homeIPv4(20+c.Salt, i, len(list))
		}
		list[i] = p
	}
	return list
}

func device(rnd *rand.Rand) (Kind, float64) {
	switch r := rnd.Float64(); {
	case r < 0.15:
		return Low, SpeedLow
	case r < 0.70:
		return Mid, SpeedMid
	}
	return Laptop, SpeedLaptop
}

// carrierAddress packs a carrier's addresses side by side, as pools are.
func carrierAddress(second uint8, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, second, byte(n >> 8), byte(n)})
}

// homeIPv4 gives each its own address, some two or three to a /24.
func homeIPv4(first uint8, i, of int) netip.Addr {
	networks := max(of*2/homesPerBlock, 1)
	network := i % networks
	return netip.AddrFrom4([4]byte{first, byte(network >> 8), byte(network), byte(i/networks*3 + 1 + network>>16*50)})
}

func homeIPv6(salt uint8, rnd *rand.Rand) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint16(b[:], 0x2a00+uint16(salt))
	binary.BigEndian.PutUint16(b[2:], uint16(rnd.IntN(blocks)))
	binary.BigEndian.PutUint32(b[4:], rnd.Uint32()&^0xff)
	b[15] = 1
	return netip.AddrFrom16(b)
}

// addressesOf are where a bot comes from: the homes of people first, the rest in networks of their own.
func addressesOf(c *Config, crowd []*party) (list []netip.Addr) {
	p := &c.Profile
	n, networks, homes := p.Addresses, p.Networks, p.Homes
	if n > 256 { // one network stays one
		n, networks, homes = c.scaled(n), c.scaled(networks), c.scaled(homes)
	}
	for _, who := range crowd {
		if len(list) == homes {
			break
		}
		if who.behind == Home && who.addr.Is4() {
			list = append(list, who.addr)
		}
	}
	own := max(networks-homes, 1)
	for i := 0; len(list) < n; i++ {
		network := i % own
		list = append(list, netip.AddrFrom4([4]byte{60 + c.Salt, byte(network >> 8), byte(network), byte(i / own)}))
	}
	return list
}

// fresh is an address in a bot's own IPv6 /32, another /56 and /48 each time.
func fresh(salt uint8, rnd *rand.Rand) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint16(b[:], 0x2a10+uint16(salt))
	binary.BigEndian.PutUint16(b[2:], 0xb0b0)
	binary.BigEndian.PutUint64(b[4:], rnd.Uint64())
	return netip.AddrFrom16(b)
}

// work draws how many hashes a puzzle of so many sub-puzzles takes, each of so many expected.
func work(rnd *rand.Rand, subs int, expected float64) (hashes float64) {
	for range subs {
		hashes += rnd.ExpFloat64() * expected
	}
	return hashes
}
