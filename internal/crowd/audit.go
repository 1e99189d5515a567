package crowd

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxFindings bounds what Audit returns; one more finding says how many there are in all.
const MaxFindings = 1000

// Facts are what the logs and Postgres say; the caller fills them. Absent from the logs is absent from the maps.
type Facts struct {
	Now      int64                  // log time when the facts were read, µs
	Places   map[string]PlaceFact   // by token id, hex: from queue-outcomes
	Passes   map[string]PassFact    // by pass id, hex: from queue-outcomes and outcomes
	Bookings map[string]BookingFact // by booking id: from outcomes and Postgres
	Payments map[string]PaymentFact // by payment id: from Postgres, the ledger and the provider
}

// PlaceFact is a place in line.
type PlaceFact struct {
	Room     int64
	OrderKey string // as Joined said it
	Joined   int    // how many Joined outcomes it has
}

// PassFact is an admission.
type PassFact struct {
	Place   string // token id, hex
	Expires int64  // µs
	Claimed int    // Claimed outcomes with it
	Used    int    // Held outcomes that used it up
}

// BookingFact is a booking.
type BookingFact struct {
	Event     int64
	User      string
	Total     string // decimal, of Currency
	Currency  string
	Logged    string // status by the fold of the log's outcomes, as the column spells it
	Stored    string // status in Postgres; empty when the row is missing
	Expires   int64  // of a hold, offer or freeze, log time with outages, µs; 0 for none
	Made      int    // Held and Waitlisted outcomes: one for every booking
	Confirmed int    // Confirmed outcomes
	Tickets   int    // tickets in Postgres with status valid
}

// PaymentFact is a payment.
type PaymentFact struct {
	Booking  string
	Status   string // in Postgres
	Amount   string // decimal, of Currency
	Currency string
	Captures int    // charges captured for it, by the provider or the ledger
	Captured string // their sum, decimal; empty for nothing
	Voided   bool   // every authorisation that was not captured is released
	Refunded bool   // whatever was captured went back
}

// Finding is a broken promise. Rule is one of lost-place, moved-place, double-place, lost-pass, double-pass, lost-hold,
// changed-hold, double-hold, stuck-hold, lost-payment, double-payment, lost-cancel, double-sale and projection.
type Finding struct {
	Rule    string `json:"rule"`
	Subject string `json:"subject"` // the id
	Explain string `json:"explain"`
}

// Audit holds a journal against the facts: no acknowledged place, hold or payment lost, none double, no hold stuck. It
// returns nil if every promise was kept.
func Audit(journal []Entry, f Facts) []Finding {
	a := &audit{facts: f}
	for i := range journal {
		a.entry(&journal[i])
	}
	a.bookings()
	slices.SortStableFunc(a.found, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(x.Rule, y.Rule), cmp.Compare(x.Subject, y.Subject))
	})
	a.found = slices.Compact(a.found)
	if len(a.found) > MaxFindings {
		n := len(a.found)
		a.found = append(a.found[:MaxFindings:MaxFindings], Finding{"more", "", fmt.Sprintf("%d findings in all", n)})
	}
	return a.found
}

type audit struct {
	facts Facts
	found []Finding
}

func (a *audit) fail(rule, subject, format string, args ...any) {
	a.found = append(a.found, Finding{rule, subject, fmt.Sprintf(format, args...)})
}

func (a *audit) entry(e *Entry) {
	switch e.Kind {
	case EntryPlace:
		a.place(e)
	case EntryPass:
		a.pass(e)
	case EntryHold, EntryWaitlisted:
		a.hold(e)
	case EntryAuthorised:
		a.payment(e)
	case EntryConfirmed:
		a.confirmed(e)
	case EntryCancelled:
		a.ended(e, "cancelled")
	case EntryEnded:
		a.ended(e, "lapsed", "closed", "cancelled", "revoked", "refunded")
	}
}

func (a *audit) place(e *Entry) {
	p, ok := a.facts.Places[e.Place]
	switch {
	case !ok || p.Joined == 0:
		a.fail("lost-place", e.Place, "fan %d was told that the place is recorded; the log does not have it", e.Fan)
		return
	case p.Joined > 1:
		a.fail("double-place", e.Place, "the place joined %d times", p.Joined)
	}
	if p.Room != e.Room {
		a.fail("moved-place", e.Place, "promised in room %d, found in room %d", e.Room, p.Room)
	}
	if e.Drawn {
		return
	}
	if p.OrderKey != e.OrderKey {
		a.fail("moved-place", e.Place, "promised key %s, the log has %s", e.OrderKey, p.OrderKey)
	}
	if want := fmt.Sprintf("01%016x%s", e.Instant, e.Place); e.OrderKey != want {
		a.fail("moved-place", e.Place, "the key %s is not that of the signed instant %d", e.OrderKey, e.Instant)
	}
}

func (a *audit) pass(e *Entry) {
	p, ok := a.facts.Passes[e.Pass]
	switch {
	case !ok || p.Claimed == 0:
		a.fail("lost-pass", e.Pass, "fan %d has a pass that the log never gave", e.Fan)
		return
	case p.Claimed > 1:
		a.fail("double-pass", e.Pass, "claimed %d times", p.Claimed)
	case p.Used > 1:
		a.fail("double-pass", e.Pass, "used up by %d holds", p.Used)
	}
	if p.Place != e.Place {
		a.fail("lost-pass", e.Pass, "given for place %s, the log says %s", e.Place, p.Place)
	}
	// A pass says its end in whole seconds, rounded down.
	if e.Expires > p.Expires || p.Expires-e.Expires >= 1_000_000 {
		a.fail("lost-pass", e.Pass, "good until %d by the fan's answer, until %d by the log", e.Expires, p.Expires)
	}
}

func (a *audit) hold(e *Entry) {
	b, ok := a.facts.Bookings[e.Booking]
	if !ok || b.Made == 0 {
		a.fail("lost-hold", e.Booking, "fan %d was answered %s; the log does not have it", e.Fan, e.Kind)
		return
	}
	if b.Event != e.Event || b.User != e.User {
		a.fail("changed-hold", e.Booking, "promised to %s for event %d, the log says %s, event %d", e.User, e.Event, b.User, b.Event)
	}
	if e.Kind == EntryHold && (!sameAmount(b.Total, e.Total) || b.Currency != e.Currency) {
		a.fail("changed-hold", e.Booking, "promised for %s %s, the log says %s %s", e.Total, e.Currency, b.Total, b.Currency)
	}
	if e.Pass != "" && a.facts.Passes[e.Pass].Used == 0 {
		a.fail("lost-pass", e.Pass, "it bought booking %s, and the log does not say that it was used", e.Booking)
	}
}

// paid says that money was taken for tickets that are there, or were until they were given back.
func paid(status string) bool {
	return status == "confirmed" || status == "refunded" || status == "revoked"
}

func (a *audit) payment(e *Entry) {
	b, known := a.facts.Bookings[e.Booking]
	p, ok := a.facts.Payments[e.Payment]
	switch {
	case !known:
		a.fail("lost-payment", e.Payment, "fan %d paid for booking %s, which the log does not have", e.Fan, e.Booking)
		return
	case !ok:
		a.fail("lost-payment", e.Payment, "fan %d paid for booking %s; Postgres has no such payment", e.Fan, e.Booking)
		return
	case p.Booking != e.Booking:
		a.fail("lost-payment", e.Payment, "paid for booking %s, Postgres says %s", e.Booking, p.Booking)
	}
	if p.Captures > 1 {
		a.fail("double-payment", e.Payment, "captured %d times", p.Captures)
	}
	if !sameAmount(p.Amount, e.Total) || p.Currency != e.Currency {
		a.fail("double-payment", e.Payment, "the card agreed to %s %s, Postgres says %s %s", e.Total, e.Currency, p.Amount, p.Currency)
	}
	if p.Captures > 0 && !sameAmount(p.Captured, p.Amount) {
		a.fail("double-payment", e.Payment, "captured %s of %s", p.Captured, p.Amount)
	}
	switch {
	case paid(b.Logged) && p.Captures == 0 && !p.Voided && !zero(p.Amount):
		a.fail("lost-payment", e.Payment, "booking %s is %s, and the money was neither captured nor released", e.Booking, b.Logged)
	case !paid(b.Logged) && b.Logged != "frozen" && p.Captures > 0 && !p.Refunded:
		a.fail("lost-payment", e.Payment, "captured for booking %s, which is %s", e.Booking, b.Logged)
	case !paid(b.Logged) && b.Logged != "frozen" && p.Captures == 0 && !p.Voided && !zero(p.Amount):
		a.fail("lost-payment", e.Payment, "authorised for booking %s, which is %s, and never released", e.Booking, b.Logged)
	}
}

func (a *audit) confirmed(e *Entry) {
	b := a.facts.Bookings[e.Booking]
	switch {
	case b.Confirmed == 0:
		a.fail("lost-hold", e.Booking, "fan %d saw it confirmed; the log never confirmed it", e.Fan)
	case !paid(b.Logged) && b.Logged != "frozen":
		a.fail("lost-hold", e.Booking, "fan %d saw it confirmed; now it is %s", e.Fan, b.Logged)
	case b.Logged == "confirmed" && b.Tickets < e.Tickets:
		a.fail("lost-hold", e.Booking, "fan %d saw %d valid tickets; now there are %d", e.Fan, e.Tickets, b.Tickets)
	}
}

func (a *audit) ended(e *Entry, may ...string) {
	b, ok := a.facts.Bookings[e.Booking]
	if e.Status == "lapsed" && ok && b.Confirmed > 0 {
		return // a payment in time for the grace won it back
	}
	if !ok || !slices.Contains(may, b.Logged) {
		a.fail("lost-cancel", e.Booking, "fan %d was told that it is over (%s); the log says %q", e.Fan, e.Kind, b.Logged)
	}
}

// bookings checks what needs no journal: nothing double, nothing stuck, and Postgres agreeing with the log.
func (a *audit) bookings() {
	type buyer struct {
		user  string
		event int64
	}
	sold := make(map[buyer][]string)
	for id, b := range a.facts.Bookings {
		if b.Made > 1 {
			a.fail("double-hold", id, "made %d times", b.Made)
		}
		if b.Confirmed > 1 {
			a.fail("double-sale", id, "confirmed %d times", b.Confirmed)
		}
		if b.Stored != b.Logged {
			a.fail("projection", id, "the log says %q, Postgres says %q", b.Logged, b.Stored)
		}
		live := b.Logged == "held" || b.Logged == "offered" || b.Logged == "frozen"
		if live && b.Expires < a.facts.Now {
			a.fail("stuck-hold", id, "%s until %d, and the log's clock shows %d", b.Logged, b.Expires, a.facts.Now)
		}
		if b.Logged == "confirmed" {
			who := buyer{b.User, b.Event}
			sold[who] = append(sold[who], id)
		}
	}
	for who, ids := range sold {
		// A fan of this crowd buys once.
		if len(ids) > 1 && strings.HasPrefix(who.user, userPrefix) {
			slices.Sort(ids)
			a.fail("double-sale", ids[0], "%s has %d sold bookings for event %d: %s", who.user, len(ids), who.event, strings.Join(ids, ", "))
		}
	}
}

// sameAmount compares decimal amounts whatever zeros they end in.
func sameAmount(x, y string) bool { return plainAmount(x) == plainAmount(y) }

func plainAmount(s string) string {
	if _, err := strconv.ParseFloat(s, 64); err != nil || !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

func zero(amount string) bool { return strings.Trim(amount, "0.") == "" }
