// Package bots drives people and bots through a pre-queue against a real server, and says who got the tickets. It touches the
// server's public addresses and nothing else. Every solution is real, at the server's low price; what it would have taken at
// the true price is drawn by chance and waited for, in time that runs faster than the clock.
package bots

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Hash rates, in hashes a second. Those of people are assumptions about all cores of a device together: nothing was measured on
// a phone. Those of servers are what a program that interprets gets from a thread of a current one.
const (
	SpeedLow    = 150_000
	SpeedMid    = 600_000
	SpeedLaptop = 3_000_000
	SpeedThread = 1_200_000
	// ThreadsServer is how many threads a server has.
	ThreadsServer = 32
	// SpeedCard is what a graphics card is assumed to do: eight servers' worth. Nobody has published a figure. A current card
	// runs some eight thousand lanes at once, if each has two kilobytes of fast memory for the scratchpad; a hash is some
	// thousand dependent steps of ten to twenty cycles each, its branches cost half; that makes 300 million a second.
	SpeedCard = 8 * ThreadsServer * SpeedThread
)

// At full scale.
const (
	fullPeople  = 500_000
	fullTickets = 20_000
	// Prequeue is how long people and bots may arrive before the sale opens.
	Prequeue = 900 * time.Second
	// trueDifficulty is the base price of a sub-puzzle that delays are drawn for.
	trueDifficulty = 90_000
)

// Profile is an attacker. Numbers are those of full scale.
type Profile struct {
	Name      string
	What      string
	Speed     float64 // hashes a second in all; 0: each place has a device of its own, as people have
	Threads   int     // that share the speed
	Wanted    int     // places
	Addresses int
	Networks  int  // /24s of them
	Homes     int  // of the addresses, how many people live behind too
	Block     bool // one IPv6 /32, a fresh /64 for each request
}

// Profiles are the attackers that a guard is measured against.
func Profiles() []Profile {
	const server = ThreadsServer * SpeedThread
	b3 := Profile{Name: "B3", What: "four servers, 10,000 residential addresses", Speed: 4 * server, Threads: 4 * ThreadsServer,
		Wanted: 200_000, Addresses: 10_000, Networks: 6_000, Homes: 5_000}
	b4 := b3
	b4.Name, b4.What, b4.Speed, b4.Threads = "B4", "B3 with eight graphics cards", b3.Speed+8*SpeedCard, b3.Threads+8*8*ThreadsServer
	return []Profile{
		{Name: "B1", What: "one server, one address", Speed: server, Threads: ThreadsServer, Wanted: 200_000, Addresses: 1, Networks: 1},
		{Name: "B2", What: "one server, a /24", Speed: server, Threads: ThreadsServer, Wanted: 200_000, Addresses: 256, Networks: 1},
		b3, b4,
		{Name: "B5", What: "50,000 real devices", Wanted: 50_000, Addresses: 50_000, Networks: 20_000},
		{Name: "B6", What: "one server, an IPv6 /32", Speed: server, Threads: ThreadsServer, Wanted: 200_000, Addresses: 1, Networks: 1, Block: true},
	}
}

// Config says what is run, and against what.
type Config struct {
	URL      string // of the server; it must take our address for a proxy's, which says X-Forwarded-For
	Room     int64
	Profile  Profile
	Draw     bool          // lots among those who come before the opening; else first come, first served
	Scale    float64       // of people, tickets, hash power, addresses and places wanted
	Compress float64       // how many times faster than the clock time runs; less when the machine does not keep up
	Behind   time.Duration // how far the machine may fall behind, by the clock, before the run is given up (ErrTooSlow); 0 for ever
	Base     uint32        // difficulty that the server asks at base price
	Speeds   float64       // of people's devices, 1 for those above
	Seed     uint64
	Salt     uint8 // keeps the addresses of several runs against one server apart: 0 to 15
}

// Validate names the field that cannot work.
func (c Config) Validate() error {
	switch {
	case c.Scale <= 0 || c.Scale > 1:
		return fmt.Errorf("scale: expected more than 0 and at most 1, got %g", c.Scale)
	case c.Compress < 1 || c.Compress > 60:
		return fmt.Errorf("compress: expected 1 to 60, got %g", c.Compress)
	case c.Base < 2:
		return fmt.Errorf("base: expected the server's base difficulty")
	case c.Speeds <= 0:
		return fmt.Errorf("speeds: expected more than 0")
	case c.Salt > 15:
		return fmt.Errorf("salt: expected 0 to 15")
	}
	return nil
}

// scaled is how many of so many there are; of some at least one.
func (c Config) scaled(n int) int { return max(int(float64(n)*c.Scale+0.5), min(n, 1)) }

// People and Tickets are how many there are at this scale.
func (c Config) People() int { return c.scaled(fullPeople) }

// Tickets is how many there are at this scale; each admission is one.
func (c Config) Tickets() int { return c.scaled(fullTickets) }

// Deps is what a run is handed.
type Deps struct {
	// Solve finds one sub-puzzle's nonce.
	Solve func(algorithm string, seed [32]byte, sub int, k, difficulty uint32) ([]byte, error)
	// Open opens the sale when everybody has come; it returns when the room is open.
	Open     func(ctx context.Context) error
	Progress io.Writer // nil for silence
}

// CarrierNetworks are the ranges that the server must know as carriers': half of those that people come from.
func CarrierNetworks() []string { return []string{"100.64.0.0/12"} }
