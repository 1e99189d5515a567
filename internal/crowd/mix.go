package crowd

import (
	"errors"
	"fmt"
)

// Plan is what a fan means to do.
type Plan uint8

// The plans.
const (
	Payer           Plan = iota // holds, pays, waits for valid tickets
	Decliner                    // holds, its card is declined, gives up
	Lapser                      // holds and lets the time run out
	Canceller                   // holds and gives it back
	VanisherEarly               // is invited and never enters
	VanisherHolding             // holds and closes the browser
	Waitlister                  // takes a place on the waitlist when sold out, and pays what it is offered
	plans
)

var planNames = [plans]string{"payer", "decliner", "lapser", "canceller", "vanisherEarly", "vanisherHolding", "waitlister"}

// String is the plan's name in logs.
func (p Plan) String() string {
	if p < plans {
		return planNames[p]
	}
	return "unknown"
}

// Mix is how many of a thousand fans have each plan; Payers are the rest.
type Mix struct {
	Decliners        int
	Lapsers          int
	Cancellers       int
	VanishersEarly   int
	VanishersHolding int
	Waitlisters      int
}

// DefaultMix is a crowd in which most pay and everything happens.
func DefaultMix() Mix {
	return Mix{Decliners: 60, Lapsers: 60, Cancellers: 60, VanishersEarly: 50, VanishersHolding: 30, Waitlisters: 120}
}

func (m Mix) shares() [plans]int {
	s := [plans]int{0, m.Decliners, m.Lapsers, m.Cancellers, m.VanishersEarly, m.VanishersHolding, m.Waitlisters}
	s[Payer] = 1000
	for _, n := range s[1:] {
		s[Payer] -= n
	}
	return s
}

// Validate refuses shares below zero and more than a thousand in all.
func (m Mix) Validate() error {
	for p, n := range m.shares() {
		if n < 0 || n > 1000 {
			return fmt.Errorf("Mix: %s: expected shares of 0 to 1000 per mille, not above 1000 in all", Plan(p))
		}
	}
	return nil
}

// stride walks a thousand plans so that neighbours differ: it shares no factor with 1000.
const stride = 617

// plan is a fan's plan. Every thousand fans in a row hold each share exactly, and any few dozen nearly.
func (m Mix) plan(seed uint64, index int64) Plan {
	roll := int((uint64(index)*stride + scramble(seed)%1000) % 1000)
	shares := m.shares()
	for p, n := range shares {
		if roll < n {
			return Plan(p)
		}
		roll -= n
	}
	return Payer
}

// scramble spreads a number over 64 bits (the finaliser of SplitMix64).
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Outcome is how a fan's visit ended.
type Outcome string

// The outcomes. Counts in a Report has all of them.
const (
	Paid       Outcome = "paid"       // confirmed, and every ticket valid
	Declined   Outcome = "declined"   // the card was declined and the hold came to its end
	LetLapse   Outcome = "lapsed"     // the hold's time ran out unpaid
	Cancelled  Outcome = "cancelled"  // given back by the fan, or taken by the organiser
	Vanished   Outcome = "vanished"   // went away without a word
	SoldOut    Outcome = "soldOut"    // nothing left, in line or at the till
	Waitlisted Outcome = "waitlisted" // waited for an offer that did not come
	Missed     Outcome = "missed"     // the turn or the pass ran out
	Failed     Outcome = "failed"     // refused where no refusal was due; see Report.Failures
	Unfinished Outcome = "unfinished" // the crowd ended first
)

// Outcomes lists every outcome in the order of a report.
func Outcomes() []Outcome {
	return []Outcome{Paid, Declined, LetLapse, Cancelled, Vanished, SoldOut, Waitlisted, Missed, Failed, Unfinished}
}

var errJournal = errors.New("crowd: the journal cannot be written")
