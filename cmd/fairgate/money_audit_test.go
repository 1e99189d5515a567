package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/verify"
	"fairgate/workers/reconcile"
)

// moneyAudit is what a campaign came to. The first six must be zero.
type moneyAudit struct {
	PaidWithoutTicket int
	TicketWithoutPaid int
	WrongAmount       int
	LeakedHold        int
	OpenObligation    int
	RaceRefunds       int // lost races that cost a refund instead of a void
	Other             int // whatever else is broken: invariants, documents, what a fan was told

	Races    int // authorisations that were voided
	Orphans  int // intents whose making was answered by a failure, and that were cancelled: their secret was given to nobody
	Captured int
	Refunded int
	Findings []string
	suspects []string // bookings to tell the story of
}

// broken is how many promises were broken.
func (a *moneyAudit) broken() int {
	return a.PaidWithoutTicket + a.TicketWithoutPaid + a.WrongAmount + a.LeakedHold + a.OpenObligation + a.RaceRefunds + a.Other
}

func (a *moneyAudit) find(count *int, format string, args ...any) {
	*count++
	if len(a.Findings) < 60 {
		a.Findings = append(a.Findings, fmt.Sprintf(format, args...))
	}
}

// suspect has the story of a booking told, of a few at most.
func (a *moneyAudit) suspect(booking string) {
	if len(a.suspects) < 5 && !slices.Contains(a.suspects, booking) {
		a.suspects = append(a.suspects, booking)
	}
}

// audit compares what the provider did with cards, what the log decided and what Postgres says, after all came to rest.
func (r *moneyRig) audit(ctx context.Context, fans *moneyFans) (*moneyAudit, error) {
	a := &moneyAudit{}
	sold, err := r.soldBookings(ctx)
	if err != nil {
		return a, err
	}
	orphans, err := r.orphans(ctx)
	if err != nil {
		return a, err
	}
	r.auditProvider(a, sold, orphans)
	r.auditTickets(a, sold)
	for booking, n := range fans.valid {
		if b := sold[booking]; b == nil || b.Status != "confirmed" && b.Status != "refunded" && b.Status != "revoked" {
			a.find(&a.Other, "a fan saw %d valid tickets of booking %s, which is %+v", n, booking, b)
		}
	}
	for _, check := range []func(context.Context, *moneyAudit) error{r.auditStock, r.auditObligations, r.auditRaces, r.auditBooks, r.auditLogs} {
		if err := check(ctx, a); err != nil {
			return a, err
		}
	}
	for _, id := range a.suspects {
		a.Findings = append(a.Findings, "story of "+id+":"+r.story(ctx, id))
	}
	return a, nil
}

// soldBooking is a booking with what stands on either side of it. Money is in the provider's units.
type soldBooking struct {
	Status   string
	Currency string
	Total    int64
	Valid    int64 // worth of live tickets
	Tickets  int   // live ones
	Waiting  int   // tickets that are neither live nor over
	Owed     int64
	Retained int64
	Goodwill int64 // went back on live tickets
	Lost     bool  // a bank took the money

	Kept     int64 // at the provider: captured, less what went back
	Captures int
	Reserved int // authorisations that are still open
	Payable  int // intents that a fan could still pay
}

// soldBookings reads Postgres.
func (r *moneyRig) soldBookings(ctx context.Context) (map[string]*soldBooking, error) {
	rows, err := r.own.db.Write.Query(ctx, `
		SELECT b.id::text, b.status, b.currency, b.total, coalesce(sum(t.amount) FILTER (WHERE t.status = 'valid'), 0)::bigint,
			count(t.id) FILTER (WHERE t.status = 'valid'), count(t.id) FILTER (WHERE t.status IN ('confirmed', 'frozen')),
			(SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.status IN ('due', 'failed', 'requires_action')),
			(SELECT coalesce(sum(r.retained), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.status <> 'cancelled'),
			(SELECT coalesce(sum(r.amount), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.tickets = '{}'
				AND r.status IN ('pending', 'succeeded') AND b.status = 'confirmed' AND r.attempt_id =
					(SELECT a.id FROM payment_attempts a WHERE a.payment_id = r.payment_id AND a.status = 'captured' ORDER BY a.number LIMIT 1))
				- (SELECT coalesce(sum(r.cut), 0)::bigint FROM refunds r WHERE r.booking_id = b.id AND r.status <> 'cancelled' AND b.status = 'confirmed'),
			EXISTS (SELECT FROM disputes d WHERE d.booking_id = b.id AND d.status = 'lost')
		FROM bookings b LEFT JOIN tickets t ON t.booking_id = b.id GROUP BY b.id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]*soldBooking{}
	for rows.Next() {
		var id string
		b := &soldBooking{}
		if err := rows.Scan(&id, &b.Status, &b.Currency, &b.Total, &b.Valid, &b.Tickets, &b.Waiting, &b.Owed, &b.Retained, &b.Goodwill, &b.Lost); err != nil {
			return nil, err
		}
		for _, v := range []*int64{&b.Total, &b.Valid, &b.Owed, &b.Retained, &b.Goodwill} {
			*v = payment.ToProvider(*v, b.Currency)
		}
		all[id] = b
	}
	return all, rows.Err()
}

// orphans are the provider's objects whose making it answered with a failure: they were found and cancelled as strays.
func (r *moneyRig) orphans(ctx context.Context) (map[string]bool, error) {
	rows, err := r.own.db.Write.Query(ctx, `SELECT payload ->> 'intent' FROM outbox WHERE kind = $1 AND starts_with(cause, 'stray/')`, payment.KindVoid)
	if err != nil {
		return nil, err
	}
	intents, err := pgx.CollectRows(rows, pgx.RowTo[string])
	orphans := map[string]bool{}
	for _, intent := range intents {
		orphans[intent] = true
	}
	return orphans, err
}

// auditProvider adds up what the provider did with cards.
func (r *moneyRig) auditProvider(a *moneyAudit, sold map[string]*soldBooking, orphans map[string]bool) {
	of := map[string]*soldBooking{} // by intent
	for _, i := range r.sim.PaymentIntents() {
		b := sold[i.Metadata["bookingId"]]
		if b == nil {
			b = &soldBooking{Status: "unknown"}
			sold[i.Metadata["bookingId"]] = b
		}
		of[i.ID] = b
		b.Kept += i.Received
		switch i.Status {
		case "succeeded":
			b.Captures++
			a.Captured++
			if i.Received != b.Total || !strings.EqualFold(i.Currency, b.Currency) {
				a.find(&a.WrongAmount, "intent %s took %d %s for booking %s of %d %s", i.ID, i.Received, i.Currency, i.Metadata["bookingId"], b.Total, b.Currency)
			}
		case "requires_capture":
			b.Reserved++
			a.find(&a.LeakedHold, "intent %s of booking %s, which is %s, is still authorised", i.ID, i.Metadata["bookingId"], b.Status)
		case "canceled":
			switch {
			case i.LatestCharge != "":
				a.Races++
			case orphans[i.ID]:
				a.Orphans++
			}
		default:
			b.Payable++
			a.find(&a.LeakedHold, "intent %s of booking %s, which is %s, can still be paid (%s)", i.ID, i.Metadata["bookingId"], b.Status, i.Status)
		}
	}
	for _, re := range r.sim.Refunds() {
		if re.Transaction != "" && re.Status == "succeeded" {
			of[re.Intent].Kept -= re.Amount
			a.Refunded++
		}
	}
	for _, d := range r.sim.Disputes() {
		if d.Status != "won" {
			of[d.Intent].Kept -= d.Amount
		}
	}
}

// auditTickets compares the live tickets of every booking with the money that was kept for it.
func (r *moneyRig) auditTickets(a *moneyAudit, sold map[string]*soldBooking) {
	for _, id := range slices.Sorted(maps.Keys(sold)) {
		b := sold[id]
		kept, due := max(0, b.Kept), b.Valid-b.Goodwill+b.Owed+b.Retained
		if b.Lost {
			due = b.Valid - b.Goodwill // what was kept of a refund went with the rest
		}
		if b.Waiting > 0 {
			a.find(&a.Other, "booking %s has %d tickets that wait: %+v", id, b.Waiting, *b)
		}
		before := a.broken()
		switch {
		case b.Lost && b.Valid == 0: // a bank may take more or less than was left
		case kept > 0 && b.Tickets == 0 && kept > due:
			a.find(&a.PaidWithoutTicket, "booking %s: %+v", id, *b)
		case kept == 0 && b.Valid > 0 && b.Goodwill < b.Valid:
			a.find(&a.TicketWithoutPaid, "booking %s: %+v", id, *b)
		case kept != due:
			a.find(&a.WrongAmount, "booking %s: %d kept, %d due: %+v", id, kept, due, *b)
		}
		if a.broken() > before {
			a.suspect(id)
		}
	}
}

// story is all that Postgres and the provider have to say about a booking's money.
func (r *moneyRig) story(ctx context.Context, booking string) string {
	var text strings.Builder
	rows, err := r.own.db.Write.Query(ctx, `
		SELECT to_char(a.created_at, 'HH24:MI:SS.MS '), 'attempt ' || a.number || ' ' || a.status || coalesce(' ' || a.intent, '') || coalesce(' ' || a.charge, '')
			FROM payment_attempts a JOIN payments p ON p.id = a.payment_id WHERE p.booking_id::text = $1
		UNION ALL SELECT to_char(created_at, 'HH24:MI:SS.MS '), 'payment ' || status || ' ' || amount FROM payments WHERE booking_id::text = $1
		UNION ALL SELECT to_char(created_at, 'HH24:MI:SS.MS '), 'refund ' || id || ' ' || status || ' ' || amount || ' kept ' || retained || ' tickets ' || tickets::text || ' ' || cause || coalesce(' ' || provider, '') || ' ' || reason
			|| ' until ' || to_char(updated_at, 'HH24:MI:SS.MS') FROM refunds WHERE booking_id::text = $1
		UNION ALL SELECT to_char(created_at, 'HH24:MI:SS.MS '), 'dispute ' || id || ' ' || status || ' ' || amount || ' covers ' || covered FROM disputes WHERE booking_id::text = $1
		UNION ALL SELECT to_char(at, 'HH24:MI:SS.MS '), 'posted ' || fact || ' ' || account || ' ' || amount FROM ledger WHERE booking_id::text = $1
		UNION ALL SELECT to_char(created_at, 'HH24:MI:SS.MS '), 'told ' || kind || ' ' || cause FROM notifications WHERE booking_id::text = $1
		UNION ALL SELECT to_char(created_at, 'HH24:MI:SS.MS '), kind || ' ' || cause || ' try ' || try || ' ' || status || ' ' || attempts || ' until ' || coalesce(to_char(done_at, 'HH24:MI:SS.MS'), '') || ' ' || last_error
			FROM outbox WHERE payload ->> 'bookingId' = $1
		UNION ALL SELECT '', 'ticket ' || number || ' ' || status || ' ' || amount FROM tickets WHERE booking_id::text = $1
		ORDER BY 1`, booking)
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	for rows.Next() {
		var at, what string
		if err := rows.Scan(&at, &what); err != nil {
			return err.Error()
		}
		text.WriteString("\n    " + at + what)
	}
	for _, i := range r.sim.PaymentIntents() {
		if i.Metadata["bookingId"] != booking {
			continue
		}
		fmt.Fprintf(&text, "\n    at Stripe: %s %s took %d", i.ID, i.Status, i.Received)
		for _, re := range r.sim.Refunds() {
			if re.Intent == i.ID {
				fmt.Fprintf(&text, "\n    at Stripe: %s of %s %d %s %s moved %q back %q", re.ID, i.ID, re.Amount, re.Status, re.Metadata["refundId"], re.Transaction, re.FailureTransaction)
			}
		}
		for _, d := range r.sim.Disputes() {
			if d.Intent == i.ID {
				fmt.Fprintf(&text, "\n    at Stripe: %s of %s %d %s", d.ID, i.ID, d.Amount, d.Status)
			}
		}
	}
	return text.String()
}

// auditStock finds stock that nobody holds or owns and that is not free.
func (r *moneyRig) auditStock(ctx context.Context, a *moneyAudit) error {
	for what, sql := range map[string]string{
		"types with held stock":                  `SELECT count(*) FROM ticket_types WHERE held <> 0`,
		"types whose stock does not add up":      `SELECT count(*) FROM ticket_types WHERE held + sold + free <> capacity`,
		"types that sold other than is sold":     `SELECT count(*) FROM ticket_types k WHERE sold < (SELECT count(*) FROM tickets t WHERE t.event_id = k.event_id AND t.type = k.type AND t.status IN ('confirmed', 'valid', 'frozen'))`,
		"bookings that hold or wait for tickets": `SELECT count(*) FROM bookings WHERE status IN ('held', 'offered', 'waitlisted', 'lapsed', 'frozen')`,
	} {
		var n int
		if err := r.own.db.Write.QueryRow(ctx, sql).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			a.find(&a.LeakedHold, "%d %s", n, what)
		}
	}
	return nil
}

// auditObligations lists what is left to do.
func (r *moneyRig) auditObligations(ctx context.Context, a *moneyAudit) error {
	left, err := r.leftToDo(ctx)
	for _, what := range left {
		a.find(&a.OpenObligation, "left to do: %s", what.what)
		a.suspect(what.booking)
	}
	return err
}

// leftover is something that is not at its end, and whose it is, as far as that is known.
type leftover struct{ what, booking string }

// leftSQL names obligations, webhooks, refunds, disputes and attempts that are not at their end.
const leftSQL = `
	SELECT kind || ' ' || cause || ' ' || status || ' after ' || attempts || ': ' || last_error, coalesce(payload ->> 'bookingId', '') FROM outbox WHERE status <> 'done'
	UNION ALL SELECT id || ' ' || type || ' after ' || attempts || ': ' || last_error, '' FROM webhook_inbox WHERE processed_at IS NULL
	UNION ALL SELECT 'refund ' || id || ' ' || status || ' ' || reason, booking_id::text FROM refunds WHERE status NOT IN ('succeeded', 'cancelled')
	UNION ALL SELECT 'dispute ' || id || ' ' || status || ' ' || provider, booking_id::text FROM disputes WHERE status = 'open'
	UNION ALL SELECT 'attempt ' || a.id || ' ' || a.status || coalesce(' ' || a.intent, ''), p.booking_id::text FROM payment_attempts a JOIN payments p ON p.id = a.payment_id
		WHERE a.status IN ('creating', 'open', 'authorised', 'confirmed')`

// leftToDo is some of what is left.
func (r *moneyRig) leftToDo(ctx context.Context) ([]leftover, error) {
	rows, err := r.own.db.Write.Query(ctx, leftSQL+` LIMIT 40`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (l leftover, err error) {
		err = row.Scan(&l.what, &l.booking)
		return l, err
	})
}

// auditRaces counts refunds of money that should have been voided: it was taken for a booking that had ended.
func (r *moneyRig) auditRaces(ctx context.Context, a *moneyAudit) error {
	rows, err := r.own.db.Write.Query(ctx, `SELECT id, cause FROM refunds WHERE starts_with(cause, 'void/')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, cause string
		if err := rows.Scan(&id, &cause); err != nil {
			return err
		}
		a.find(&a.RaceRefunds, "a lost race cost refund %s (%s)", id, cause)
	}
	return rows.Err()
}

// auditBooks checks the ledger and the documents.
func (r *moneyRig) auditBooks(ctx context.Context, a *moneyAudit) error {
	checks, err := r.own.db.CheckMoney(ctx)
	if err != nil {
		return err
	}
	for _, c := range checks {
		if c.Difference != 0 {
			a.find(&a.WrongAmount, "invariant 4: %+v", c)
		}
	}
	facts, err := r.own.db.UnbalancedFacts(ctx, 10)
	if err != nil {
		return err
	}
	if len(facts) > 0 {
		a.find(&a.Other, "facts that do not sum to zero: %v", facts)
	}
	gaps, err := r.own.db.DocumentGaps(ctx)
	if err != nil {
		return err
	}
	if gaps > 0 {
		a.find(&a.Other, "%d numbers of documents are missing", gaps)
	}
	return nil
}

// auditLogs derives everything again from the logs, and holds the ledger against the provider's balance.
func (r *moneyRig) auditLogs(ctx context.Context, a *moneyAudit) error {
	report, err := verify.Run(ctx, r.own.verifyConfig(), verify.Deps{Events: r.own.events, DB: r.own.db.Write, Provider: takings{r.sim}})
	if err != nil {
		return err
	}
	for _, v := range report.Violations {
		a.find(&a.Other, "invariant %d at %s: %s", v.Invariant, v.Where, v.Explain)
	}
	return nil
}

// reconciled compares provider and ledger with the command that operators use, and returns what it found.
func (r *moneyRig) reconciled(binary string) ([]reconcile.Finding, error) {
	text, err := r.try(binary, "reconcile", "--json", "--set", "workers.reconcile.settle=1s")
	var report reconcile.Report
	if bad := json.Unmarshal([]byte(text), &report); bad != nil {
		return nil, fmt.Errorf("fairgate reconcile said %.500q: %w (%w)", text, bad, err)
	}
	return report.Findings, nil
}

// settleMoney waits until nothing is left to do, doing meanwhile what people would: disputes are decided, failed refunds
// tried again. How long that takes is the machine's affair: it is false, and what is left is for the audit, only when for
// moneyStall nothing gets less.
func (r *moneyRig) settleMoney(ctx context.Context) (bool, error) {
	least, since := math.MaxInt, time.Now()
	for quiet := 0; ; pauseFor(ctx, 300*time.Millisecond) {
		busy := r.judgeDisputes() + r.sim.UndeliveredWebhooks()
		if err := r.retryRefunds(ctx); err != nil {
			return false, err
		}
		left, err := r.countLeft(ctx)
		if err != nil {
			return false, err
		}
		left += busy
		if left < least {
			least, since = left, time.Now()
		}
		if quiet++; left > 0 {
			quiet = 0
		}
		switch {
		case quiet == 5:
			return true, nil
		case quiet == 0 && time.Since(since) > moneyStall:
			return false, ctx.Err()
		}
	}
}

// countLeft counts what leftToDo names, and bookings that are not final.
func (r *moneyRig) countLeft(ctx context.Context) (n int, err error) {
	err = r.own.db.Write.QueryRow(ctx, `SELECT (SELECT count(*) FROM (`+leftSQL+`) l)
		+ (SELECT count(*) FROM bookings WHERE status IN ('held', 'offered', 'waitlisted', 'lapsed', 'frozen'))
		+ (SELECT count(*) FROM payments WHERE status IN ('authorised', 'confirmed'))`).Scan(&n)
	return n, err
}

// retryRefunds presses the dashboard's button for every refund that failed.
func (r *moneyRig) retryRefunds(ctx context.Context) error {
	failed, err := r.own.db.FailedRefunds(ctx, 0, 1000)
	if err != nil {
		return err
	}
	for _, f := range failed {
		if f.Status != "failed" {
			continue
		}
		if _, err := r.own.db.RetryRefund(ctx, f.ID); err != nil {
			return err
		}
	}
	return nil
}

// orderRefund orders a refund as the dashboard does.
func (r *moneyRig) orderRefund(ctx context.Context, booking sale.UUID, tickets []uint16, keepFees, back bool) {
	id, err := r.office.NewID()
	if err == nil {
		err = r.office.Refund(ctx, payment.RefundRequest{Refund: id, Booking: booking, Tickets: tickets, KeepFees: keepFees, Return: back})
	}
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "a refund was not ordered", "booking", booking.String(), "error", err)
	}
}

func fail(t testing.TB, a *moneyAudit) {
	t.Helper()
	for _, f := range a.Findings {
		t.Error(f)
	}
}
