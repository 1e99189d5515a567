package crowd

import (
	"fmt"
	"strings"
	"testing"
)

const (
	placeID = "00112233445566778899aabbccddeeff"
	passID  = "ffeeddccbbaa99887766554433221100"
)

// story is a fan who bought, as the journal and the facts tell it.
func story() ([]Entry, Facts) {
	key := fmt.Sprintf("01%016x%s", 1000, placeID)
	return []Entry{
			{Kind: EntryPlace, User: "fan-1-1", Room: 1, Place: placeID, OrderKey: key, Instant: 1000},
			{Kind: EntryPass, User: "fan-1-1", Room: 1, Place: placeID, Pass: passID, Expires: 5_000_000},
			{Kind: EntryHold, User: "fan-1-1", Event: 2, Booking: "b1", Total: "10.00", Currency: "EUR", Pass: passID},
			{Kind: EntryAuthorised, User: "fan-1-1", Event: 2, Booking: "b1", Payment: "p1", Total: "10.00", Currency: "EUR"},
			{Kind: EntryConfirmed, User: "fan-1-1", Event: 2, Booking: "b1", Tickets: 1},
		}, Facts{
			Now:    9_000_000,
			Places: map[string]PlaceFact{placeID: {Room: 1, OrderKey: key, Joined: 1}},
			Passes: map[string]PassFact{passID: {Place: placeID, Expires: 5_400_000, Claimed: 1, Used: 1}},
			Bookings: map[string]BookingFact{"b1": {
				Event: 2, User: "fan-1-1", Total: "10.00", Currency: "EUR", Logged: "confirmed", Stored: "confirmed", Made: 1, Confirmed: 1, Tickets: 1,
			}},
			Payments: map[string]PaymentFact{"p1": {Booking: "b1", Status: "captured", Amount: "10.00", Currency: "EUR", Captures: 1, Captured: "10.00"}},
		}
}

func change[K comparable, V any](m map[K]V, k K, f func(*V)) {
	v := m[k]
	f(&v)
	m[k] = v
}

func TestAudit_EveryBrokenPromiseIsFound(t *testing.T) {
	journal, facts := story()
	if found := Audit(journal, facts); found != nil {
		t.Fatalf("a kept promise is accused: %v", found)
	}
	booking := func(f func(*BookingFact)) func(*Facts) {
		return func(x *Facts) { change(x.Bookings, "b1", f) }
	}
	payment := func(f func(*PaymentFact)) func(*Facts) {
		return func(x *Facts) { change(x.Payments, "p1", f) }
	}
	pass := func(f func(*PassFact)) func(*Facts) {
		return func(x *Facts) { change(x.Passes, passID, f) }
	}
	place := func(f func(*PlaceFact)) func(*Facts) {
		return func(x *Facts) { change(x.Places, placeID, f) }
	}
	for name, c := range map[string]struct {
		rule  string
		wrong func(*Facts)
	}{
		"place gone":            {"lost-place", func(x *Facts) { delete(x.Places, placeID) }},
		"place twice":           {"double-place", place(func(p *PlaceFact) { p.Joined = 2 })},
		"place elsewhere":       {"moved-place", place(func(p *PlaceFact) { p.Room = 3 })},
		"place later":           {"moved-place", place(func(p *PlaceFact) { p.OrderKey = "02" + p.OrderKey[2:] })},
		"pass gone":             {"lost-pass", func(x *Facts) { delete(x.Passes, passID) }},
		"pass of another":       {"lost-pass", pass(func(p *PassFact) { p.Place = "x" })},
		"pass shorter":          {"lost-pass", pass(func(p *PassFact) { p.Expires = 4_999_999 })},
		"pass claimed twice":    {"double-pass", pass(func(p *PassFact) { p.Claimed = 2 })},
		"pass used twice":       {"double-pass", pass(func(p *PassFact) { p.Used = 2 })},
		"pass never used":       {"lost-pass", pass(func(p *PassFact) { p.Used = 0 })},
		"hold gone":             {"lost-hold", func(x *Facts) { delete(x.Bookings, "b1") }},
		"hold of another":       {"changed-hold", booking(func(b *BookingFact) { b.User = "fan-1-2" })},
		"hold dearer":           {"changed-hold", booking(func(b *BookingFact) { b.Total = "11.00" })},
		"hold twice":            {"double-hold", booking(func(b *BookingFact) { b.Made = 2 })},
		"confirmed twice":       {"double-sale", booking(func(b *BookingFact) { b.Confirmed = 2 })},
		"confirmed and gone":    {"lost-hold", booking(func(b *BookingFact) { b.Logged, b.Stored = "lapsed", "lapsed" })},
		"ticket gone":           {"lost-hold", booking(func(b *BookingFact) { b.Tickets = 0 })},
		"projection behind":     {"projection", booking(func(b *BookingFact) { b.Stored = "held" })},
		"held for ever":         {"stuck-hold", booking(func(b *BookingFact) { b.Logged, b.Stored, b.Expires = "held", "held", 8_999_999 })},
		"payment gone":          {"lost-payment", func(x *Facts) { delete(x.Payments, "p1") }},
		"captured twice":        {"double-payment", payment(func(p *PaymentFact) { p.Captures = 2 })},
		"captured too much":     {"double-payment", payment(func(p *PaymentFact) { p.Captured = "20.00" })},
		"never captured":        {"lost-payment", payment(func(p *PaymentFact) { p.Captures, p.Captured = 0, "" })},
		"paid for nothing":      {"lost-payment", booking(func(b *BookingFact) { b.Logged, b.Stored = "closed", "closed" })},
		"another booking's":     {"lost-payment", payment(func(p *PaymentFact) { p.Booking = "b2" })},
		"a second sold booking": {"double-sale", func(x *Facts) { x.Bookings["b2"] = x.Bookings["b1"] }},
	} {
		t.Run(name, func(t *testing.T) {
			journal, facts := story()
			c.wrong(&facts)
			found := Audit(journal, facts)
			rules := make([]string, len(found))
			for i, f := range found {
				rules[i] = f.Rule
			}
			if !strings.Contains(" "+strings.Join(rules, " ")+" ", " "+c.rule+" ") {
				t.Errorf("found %v, want %s", found, c.rule)
			}
		})
	}
}

func TestAudit_HonestEndsAreNoFindings(t *testing.T) {
	for name, f := range map[string]func(e []Entry, x *Facts) []Entry{
		"lapsed, authorisation released": func(e []Entry, x *Facts) []Entry {
			change(x.Bookings, "b1", func(b *BookingFact) { b.Logged, b.Stored, b.Confirmed, b.Tickets = "closed", "closed", 0, 0 })
			change(x.Payments, "p1", func(p *PaymentFact) { p.Captures, p.Captured, p.Voided = 0, "", true })
			return append(e[:4], Entry{Kind: EntryEnded, Booking: "b1", Status: "lapsed"})
		},
		"seen lapsed, granted again in the grace": func(e []Entry, x *Facts) []Entry {
			return append(e, Entry{Kind: EntryEnded, Booking: "b1", Status: "lapsed"})
		},
		"revoked and refunded": func(e []Entry, x *Facts) []Entry {
			change(x.Bookings, "b1", func(b *BookingFact) { b.Logged, b.Stored, b.Tickets = "revoked", "revoked", 0 })
			change(x.Payments, "p1", func(p *PaymentFact) { p.Refunded = true })
			return e
		},
		"held a moment longer": func(e []Entry, x *Facts) []Entry {
			change(x.Bookings, "b1", func(b *BookingFact) {
				*b = BookingFact{Event: 2, User: "fan-1-1", Total: "10.00", Currency: "EUR", Logged: "held", Stored: "held", Made: 1, Expires: x.Now}
			})
			return e[:3]
		},
		"the same amount with fewer zeros": func(e []Entry, x *Facts) []Entry {
			change(x.Payments, "p1", func(p *PaymentFact) { p.Captured = "10" })
			return e
		},
		"a drawn place": func(e []Entry, x *Facts) []Entry {
			e[0].Drawn = true
			change(x.Places, placeID, func(p *PlaceFact) { p.OrderKey = "00ff" })
			return e
		},
	} {
		journal, facts := story()
		journal = f(journal, &facts)
		if found := Audit(journal, facts); len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
	journal, facts := story()
	change(facts.Bookings, "b1", func(b *BookingFact) { b.Logged = "confirmed" })
	journal = append(journal, Entry{Kind: EntryCancelled, Booking: "b1"})
	if found := Audit(journal, facts); len(found) != 1 || found[0].Rule != "lost-cancel" {
		t.Errorf("an acknowledged cancellation is lost: %v", found)
	}
}

func TestAudit_FindingsAreBounded(t *testing.T) {
	var journal []Entry
	for i := range 3 * MaxFindings {
		journal = append(journal, Entry{Kind: EntryPlace, Place: fmt.Sprint(i)})
	}
	found := Audit(journal, Facts{})
	if len(found) != MaxFindings+1 || !strings.Contains(found[MaxFindings].Explain, fmt.Sprint(3*MaxFindings)) {
		t.Errorf("%d findings, the last %v", len(found), found[len(found)-1])
	}
}
