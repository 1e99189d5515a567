package cases

import (
	"context"
	"slices"

	"fairgate/internal/sale"
)

// expect is what the provider must have been made to do, in all.
type expect struct {
	captures int   // of money, each on an intent of its own
	voids    int   // intents cancelled before their capture
	refunds  int   // refunds of captured money, failed ones too
	owed     int64 // minor units that we could not give back, visibly
}

// settled is what every case must end in: paid and ticketed are the same bookings, to the cent; nothing is reserved or
// left to do; the books balance; the provider was asked exactly so often.
func (w *world) settled(e expect) {
	w.t.Helper()
	w.provider(e)
	w.tickets()
	w.books(e)
	if left := w.open(); left != "" {
		w.t.Errorf("left to do: %s", left)
	}
	for sql, what := range map[string]string{
		`SELECT count(*) FROM refunds WHERE status IN ('due', 'pending')`:        "refunds on their way",
		`SELECT count(*) FROM ticket_types WHERE held + sold + free <> capacity`: "types whose stock does not add up",
		`SELECT count(*) FROM tickets WHERE status = 'confirmed'`:                "tickets that wait for their money",
	} {
		if n := one[int](w, sql); n != 0 {
			w.t.Errorf("%d %s", n, what)
		}
	}
}

// provider counts what Stripe was made to do.
func (w *world) provider(e expect) {
	w.t.Helper()
	captures, voids, reserved := 0, 0, 0
	for _, i := range w.sim.PaymentIntents() {
		switch i.Status {
		case "succeeded":
			captures++
		case "canceled":
			voids++
		case "requires_capture":
			reserved++
		}
	}
	refunds := 0
	for _, r := range w.sim.Refunds() {
		if r.Transaction != "" {
			refunds++
		}
	}
	if captures != e.captures || voids != e.voids || refunds != e.refunds || reserved != 0 {
		w.t.Errorf("at the provider: %d captures, %d voids, %d refunds, %d reserved; want %d, %d, %d, 0",
			captures, voids, refunds, reserved, e.captures, e.voids, e.refunds)
	}
}

// kept is what a booking's fan has paid and not got back, by the provider's own account.
func (w *world) kept() map[sale.UUID]int64 {
	by := map[string]sale.UUID{}
	kept := map[sale.UUID]int64{}
	for _, i := range w.sim.PaymentIntents() {
		b, err := sale.ParseUUID(i.Metadata["bookingId"])
		if err != nil {
			continue
		}
		by[i.ID] = b
		kept[b] += i.Received
	}
	for _, r := range w.sim.Refunds() {
		if r.Transaction != "" && r.Status != "failed" {
			kept[by[r.Intent]] -= r.Amount
		}
	}
	for _, d := range w.sim.Disputes() {
		if d.Status != "won" {
			kept[by[d.Intent]] -= d.Amount
		}
	}
	return kept
}

// tickets compares the live tickets of every booking with the money that was kept for it.
func (w *world) tickets() {
	w.t.Helper()
	rows, err := w.db.Write.Query(context.Background(), `
		SELECT b.id, coalesce(sum(t.amount) FILTER (WHERE t.status = 'valid'), 0)::bigint, count(t.id) FILTER (WHERE t.status = 'valid'),
			(SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.status = 'failed'),
			(SELECT coalesce(sum(r.retained), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.status <> 'cancelled'),
			(SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.tickets = '{}'
				AND r.status IN ('pending', 'succeeded') AND b.status = 'confirmed' AND r.attempt_id =
					(SELECT a.id FROM payment_attempts a WHERE a.payment_id = r.payment_id AND a.status = 'captured' ORDER BY a.number LIMIT 1))
				- (SELECT coalesce(sum(r.cut), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.status <> 'cancelled' AND b.status = 'confirmed')
		FROM bookings b LEFT JOIN tickets t ON t.booking_id = b.id GROUP BY b.id`)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	kept := w.kept()
	for rows.Next() {
		var b sale.UUID
		var value, owed, retained, goodwill int64
		var n int
		if err := rows.Scan(&b, &value, &n, &owed, &retained, &goodwill); err != nil {
			w.t.Fatal(err)
		}
		have := max(0, kept[b]) // a dispute may take more than is there
		if want := value - goodwill + owed + retained; have != want {
			w.t.Errorf("booking %s: %d kept at the provider, %d live tickets worth %d, %d owed, %d retained, %d goodwill", b, have, n, value, owed, retained, goodwill)
		}
		delete(kept, b)
	}
	for b, amount := range kept {
		if amount != 0 {
			w.t.Errorf("%d kept for booking %s, which there is not", amount, b)
		}
	}
}

// books checks the ledger: each fact balances, invariant 4 holds, and it says of the provider what the provider says.
func (w *world) books(e expect) {
	w.t.Helper()
	ctx := context.Background()
	checks, err := w.db.CheckMoney(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	var owed int64
	for _, c := range checks {
		owed += c.DueToRefund
		if c.Difference != 0 {
			w.t.Errorf("invariant 4 is off: %+v", c)
		}
	}
	if owed != e.owed {
		w.t.Errorf("%d are owed to fans, want %d", owed, e.owed)
	}
	if facts, err := w.db.UnbalancedFacts(ctx, 10); err != nil || len(facts) > 0 {
		w.t.Errorf("facts that do not sum to zero: %v %v", facts, err)
	}
	if gaps, err := w.db.DocumentGaps(ctx); err != nil || gaps != 0 {
		w.t.Errorf("%d numbers of documents are missing %v", gaps, err)
	}
	receipts := one[int64](w, `SELECT coalesce(sum(total), 0)::bigint FROM documents WHERE kind = 'receipt'`)
	captured := one[int64](w, `SELECT coalesce(sum(amount), 0)::bigint FROM ledger WHERE account = 'provider' AND fact LIKE 'capture:%'`)
	if receipts != captured {
		w.t.Errorf("receipts over %d for %d captured", receipts, captured)
	}
	notes := one[int64](w, `SELECT coalesce(sum(CASE kind WHEN 'credit-note' THEN total ELSE -total END), 0)::bigint FROM documents WHERE kind <> 'receipt'`)
	if back := one[int64](w, `SELECT coalesce(sum(amount), 0)::bigint FROM ledger WHERE account = 'refunds'`); notes != back {
		w.t.Errorf("credit notes over %d for %d that went back", notes, back)
	}
	var net int64
	for _, v := range w.sim.BalanceTransactions() {
		net += v.Amount
	}
	got := one[int64](w, `SELECT coalesce(sum(amount), 0)::bigint FROM ledger WHERE account = 'provider' AND fact NOT LIKE 'cost:%'`)
	if got != net {
		w.t.Errorf("the ledger has %d at the provider, the provider %d", got, net)
	}
}

// statuses are the statuses of a booking's tickets, sorted.
func (w *world) statuses(booking sale.UUID) []string {
	w.t.Helper()
	s, err := w.db.Settlement(context.Background(), booking)
	if err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, t := range s.Tickets {
		all = append(all, t.Status)
	}
	slices.Sort(all)
	return all
}
