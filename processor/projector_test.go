package processor

import (
	"context"
	"errors"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/follow"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

func TestProjector_OperatorsChanges(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 10)
	w.project(2)
	w.want("(t,t,f,4)", `SELECT defined, selling, cancelled, changed_seq FROM events WHERE id = $1`, show)
	w.want("(1000,100,200000,f,10,10,0,0,10,3)", `SELECT price, fee, tax_rate, tax_included, capacity, target, held, sold, free, changed_seq
		FROM ticket_types WHERE event_id = $1 AND type = 1`, show)
	w.do(about(1), hold(1, of(1, 3)))
	w.do(on(), &wire.SetCapacity{Type: 1, Capacity: 2})
	w.do(on(), &wire.SetPrice{Type: 1, Price: wire.Price{Ticket: 7, Included: true}})
	w.do(on(), &wire.SetSelling{})
	w.project(100)
	w.want("(7,0,0,t,3,2,3,0,0,7)", `SELECT price, fee, tax_rate, tax_included, capacity, target, held, sold, free, changed_seq
		FROM ticket_types WHERE event_id = $1 AND type = 1`, show)
	w.want("(t,f,f,8)", `SELECT defined, selling, cancelled, changed_seq FROM events WHERE id = $1`, show)
	w.do(on(), &wire.CancelEvent{})
	w.project(100)
	w.want("(f,t)", `SELECT selling, cancelled FROM events WHERE id = $1`, show)
	w.booking(1, "(cancelled,3960,event-cancelled)")
}

func TestProjector_ABookingFromHoldToTickets(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{NeedsPass: true}, 10)
	h := hold(1, of(1, 2), of(2, 1))
	h.Pass, h.PassExpires = id(77), start+900*second
	w.do(about(1), h)
	w.project(100)
	w.booking(1, "(held,2640,\"\")")
	w.want("(user-1,EUR,300000000,5,5,t,t,\"2027-01-15 08:05:00+00\",0)", `SELECT user_id, currency, deadline - $2::bigint, first_seq, last_seq, pass = $3,
		ticket_base = $4, expires_at, partition FROM bookings WHERE id = $1`, uuid(1), start, h.Pass[:], uuid(5001))
	w.want("(0,1,2,1000,100,200000,f,440,2640) (1,2,1,0,0,0,f,0,0)", `SELECT line, type, quantity, price, fee, tax_rate, tax_included, tax, total
		FROM booking_lines WHERE booking_id = $1 ORDER BY line`, uuid(1))
	w.want("(user-1,held,orders/0/5)", `SELECT user_id, kind, cause FROM notifications`)
	w.payment(1, 60, 2640)
	w.do(about(1), pay(60, 2640))
	w.project(100)
	w.booking(1, "(confirmed,2640,\"\")")
	w.want("(0,1,confirmed,1320,t) (1,1,confirmed,1320,t) (2,2,confirmed,0,t)",
		`SELECT number, type, status, amount, id = ($2::uuid[])[number + 1] FROM tickets WHERE booking_id = $1 ORDER BY number`,
		uuid(1), []string{ticket(1, 0), ticket(1, 1), ticket(1, 2)})
	w.want("(confirmed,confirmed)", `SELECT p.status, a.status FROM payments p JOIN payment_attempts a ON a.payment_id = p.id`)
	w.want(`(payment:capture,orders/0/6,"{""amount"": 2640, ""intent"": ""pi_60"", ""eventId"": 41, ""currency"": ""EUR"", ""attemptId"": ""`+
		uuid(60).String()+`"", ""bookingId"": ""`+uuid(1).String()+`""}")`, `SELECT kind, cause, payload FROM outbox WHERE kind LIKE 'payment%'`)
	w.want("(notify:mail,orders/0/5) (notify:mail,orders/0/6)", `SELECT kind, cause FROM outbox WHERE kind = 'notify:mail' ORDER BY cause`)
	w.do(about(1), &wire.CaptureFailed{Attempt: id(60)})
	w.project(100)
	w.booking(1, "(frozen,2640,\"\")")
	w.want("(frozen,3)", `SELECT status, count(*) FROM tickets GROUP BY 1`)
	w.exec(`UPDATE payment_attempts SET status = 'failed'`)
	w.exec(`UPDATE payments SET status = 'started'`)
	w.payment(1, 61, 2640)
	w.do(about(1), pay(61, 2640))
	w.do(about(1), &wire.Refunded{Refund: id(70), Return: true, Tickets: []uint16{0}})
	w.project(100)
	w.booking(1, "(confirmed,2640,\"\")")
	w.want("(confirmed,2) (refunded,1)", `SELECT status, count(*) FROM tickets GROUP BY 1 ORDER BY 1`)
	w.want("(1320,EUR,{0},due,orders/0/9,t)", `SELECT amount, currency, tickets, status, cause, id = $1 FROM refunds`, uuid(70))
	w.want("(orders/0/9,70)", `SELECT cause, (SELECT 70 WHERE payload ->> 'refundId' = $1) FROM outbox WHERE kind = 'payment:refund'`, uuid(70).String())
	w.do(about(1), &wire.Refunded{Refund: id(71), Return: true, Tickets: []uint16{1, 2}})
	w.project(100)
	w.booking(1, "(refunded,2640,\"\")")
}

func TestProjector_ALimitPerCardAndWhomItTurnsAway(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 10)
	w.do(on(), &wire.SetMethodLimit{PerMethod: 1})
	w.project(100)
	w.want("(1,5,5)", `SELECT per_card, per_card_seq, changed_seq FROM events WHERE id = $1`, show)
	card := func(attempt int) *wire.AuthorisedBy {
		return &wire.AuthorisedBy{Method: id(500), Authorised: *pay(attempt, 1320)}
	}
	for n := 1; n <= 2; n++ {
		w.do(about(n), hold(n))
		w.payment(n, 60+n, 1320)
		w.do(about(n), card(60+n))
	}
	var turned dto.Metric
	if err := w.project(100).deps.Metrics.turned.Write(&turned); err != nil || turned.Counter.GetValue() != 1 {
		t.Errorf("counted: %v %v", &turned, err)
	}
	w.booking(1, "(confirmed,1320,\"\")")
	w.booking(2, "(held,1320,\"\")")
	w.want("(\"\") (method-limit)", `SELECT error_code FROM payment_attempts ORDER BY id`)
	w.want("(started,failed)", `SELECT p.status, a.status FROM payments p JOIN payment_attempts a ON a.payment_id = p.id WHERE booking_id = $1`, uuid(2))
	w.want("(payment:void,pi_62,orders/0/9)", `SELECT kind, payload ->> 'intent', cause FROM outbox WHERE kind = 'payment:void'`)
	s, err := w.db.Settlement(t.Context(), uuid(2))
	if err != nil || s.Refused != "method-limit" {
		t.Errorf("%+v %v", s, err)
	}
	w.do(on(), &wire.SetMethodLimit{})
	w.project(100)
	w.want("(0,10)", `SELECT per_card, per_card_seq FROM events WHERE id = $1`, show)
}

// An authorisation is told to the log again after a crash or by two who heard of it, and is refused again.
func TestProjector_ACardsRefusalEndsItsAttemptAndIsToldOnce(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{Grace: 600 * second}, 10)
	w.do(on(), &wire.SetMethodLimit{PerMethod: 1})
	card := func(booking, attempt, method int) {
		w.do(about(booking), &wire.AuthorisedBy{Method: id(method), Authorised: *pay(attempt, 1320)})
		w.project(100)
	}
	for n := 1; n <= 2; n++ {
		w.do(about(n), hold(n))
		w.payment(n, 60+n, 1320)
		w.exec(`UPDATE payment_attempts SET status = 'authorised'`)
		w.exec(`UPDATE payments SET status = 'authorised'`)
		card(n, 60+n, 500)
	}
	paid := `SELECT p.status, string_agg(a.status, ' ' ORDER BY number) FROM payments p JOIN payment_attempts a ON a.payment_id = p.id
		WHERE booking_id = $1 GROUP BY 1`
	w.want("(started,failed)", paid, uuid(2))
	w.payment(2, 63, 1320)
	w.exec(`UPDATE payment_attempts SET status = 'authorised' WHERE id = $1`, uuid(63))
	w.exec(`UPDATE payments SET status = 'authorised' WHERE booking_id = $1`, uuid(2))
	card(2, 62, 500)
	w.want(`(authorised,"failed authorised")`, paid, uuid(2))
	told := `SELECT n.user_id, count(*), count(o) FROM notifications n LEFT JOIN outbox o ON o.cause = n.cause AND o.kind = 'notify:mail'
		WHERE n.kind = 'cardLimit' GROUP BY 1 ORDER BY 1`
	w.want("(user-2,1,1)", told)
	w.want("(payment:void,pi_62) (payment:void,pi_62)", `SELECT kind, payload ->> 'intent' FROM outbox WHERE kind = 'payment:void'`)
	card(2, 63, 500)
	w.want("(user-2,2,2)", told) // another attempt with the same card
	w.do(about(3), hold(3))
	w.payment(3, 64, 1320)
	w.wait(400 * second)
	card(3, 64, 500)
	w.booking(3, "(lapsed,1320,\"\")")
	w.want("(user-2,2,2)", told) // there is nothing left to pay
}

// A payment that begins locks the booking and then the payment, while the log's refusal and the hold's end are written
// in one transaction.
func TestProjector_ARefusalLocksTheBookingBeforeItsPayment(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 10)
	w.do(about(1), hold(1))
	w.project(100)
	w.payment(1, 60, 1320)
	w.do(about(1), pay(60, 7))
	w.do(about(1), &wire.Cancel{UserKey: sale.UserKey(user(1))})
	tx, err := w.db.Write.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	if _, err := tx.Exec(t.Context(), `SELECT FROM bookings FOR SHARE`); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); w.project(100) }()
	waits := `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`
	for waiting := false; !waiting; {
		if err := w.db.Write.QueryRow(t.Context(), waits).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(t.Context(), `SELECT FROM payments FOR UPDATE NOWAIT`); err != nil {
		t.Error(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-done
	w.booking(1, "(cancelled,1320,cancelled-by-user)")
}

func ticket(booking, number int) string {
	base := uuid(5000 + booking)
	base[15] = byte(number)
	return base.String()
}

func TestProjector_WhatIsFreeIsValidAtOnce(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 10)
	w.do(about(1), hold(1, of(2, 1)))
	w.payment(1, 60, 0)
	w.do(about(1), &wire.Authorised{Attempt: id(60), Currency: eur})
	w.project(100)
	w.want("(valid)", `SELECT status FROM tickets`)
	w.want("(captured,captured)", `SELECT p.status, a.status FROM payments p JOIN payment_attempts a ON a.payment_id = p.id`)
	w.want("", `SELECT kind FROM outbox WHERE kind LIKE 'payment%'`)
}

func TestProjector_WaitlistOfferLapseAndClose(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{Grace: 60 * second}, 1)
	w.do(about(1), hold(1))
	w.do(about(2), waiting(hold(2)))
	w.project(100)
	w.booking(2, "(waitlisted,0,\"\")")
	w.want("(0,1,1,0,0)", `SELECT line, type, quantity, price, total FROM booking_lines WHERE booking_id = $1`, uuid(2))
	w.payment(1, 60, 1320)
	w.wait(300 * second)
	w.project(100)
	w.booking(1, "(lapsed,1320,\"\")")
	w.booking(2, "(offered,1320,\"\")")
	w.want("(1000,1320)", `SELECT price, total FROM booking_lines WHERE booking_id = $1`, uuid(2))
	w.do(about(1), pay(60, 1320))
	w.project(100)
	w.want("(payment:void,pi_60)", `SELECT kind, payload ->> 'intent' FROM outbox WHERE kind LIKE 'payment%'`)
	w.wait(60 * second)
	w.project(100)
	w.booking(1, "(closed,1320,\"\")")
	w.want("(2)", `SELECT count(*) FROM outbox WHERE kind = 'payment:void' AND payload ->> 'bookingId' = $1`, uuid(1).String())
	w.do(about(2), &wire.Cancel{})
	w.project(100)
	w.booking(2, "(cancelled,1320,cancelled-by-organiser)")
	w.want("(2)", `SELECT count(*) FROM outbox WHERE kind = 'payment:void'`)
	w.want("(1,0,0,1)", `SELECT capacity, held, sold, free FROM ticket_types WHERE event_id = $1 AND type = 1`, show)
}

func TestProjector_DeadlinesMove(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 10)
	for n := 1; n <= 3; n++ {
		w.do(about(n), hold(n))
	}
	w.do(about(2), &wire.Extend{Cause: wire.CausePaymentSlot, By: 590 * second})
	w.tick(start + 100*second) // an outage
	w.do(on(), &wire.Extend{Scope: 1, Cause: wire.CausePaymentDown, By: 20 * second})
	w.do(about(3), &wire.Extend{Cause: wire.CauseOperator, By: second})
	w.project(100)
	w.want("(1,320,420) (2,900,1000) (3,321,421)", `SELECT row_number() OVER (ORDER BY log_offset), (deadline - $1::bigint) / 1000000,
		extract(epoch FROM expires_at)::bigint - $1::bigint / 1000000 FROM bookings ORDER BY log_offset`, start)
	// One tick later, in a batch of its own, the outage is known from the position.
	w.do(about(3), &wire.Extend{Cause: wire.CauseOperator, By: second})
	w.project(100)
	w.want("(322,422)", `SELECT (deadline - $2::bigint) / 1000000, extract(epoch FROM expires_at)::bigint - $2::bigint / 1000000
		FROM bookings WHERE id = $1`, uuid(3), start)
}

func TestProjector_RevokedIsRefundedOrVoided(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{Frozen: 10 * second}, 10)
	for n := 1; n <= 3; n++ {
		w.do(about(n), hold(n))
		w.payment(n, 60+n, 1320)
	}
	w.do(about(1), pay(61, 1320))
	w.do(about(2), pay(62, 1320))
	w.do(about(1), &wire.Revoke{})
	w.do(about(2), &wire.CaptureFailed{Attempt: id(62)})
	w.do(about(3), &wire.Revoke{})
	w.wait(10 * second)
	w.project(1000)
	w.booking(1, "(revoked,1320,cancelled-by-organiser)")
	w.booking(2, "(revoked,1320,capture-failed)")
	w.want("(revoked,2)", `SELECT status, count(*) FROM tickets GROUP BY 1`)
	w.want("(payment:refund,t,f,f) (payment:void,f,f,t) (payment:void,f,t,f)", `SELECT kind, b = $1, b = $2, b = $3
		FROM (SELECT kind, payload ->> 'bookingId' AS b FROM outbox WHERE kind IN ('payment:refund', 'payment:void')) o ORDER BY 1, 2, 3`,
		uuid(1).String(), uuid(2).String(), uuid(3).String())
}

func TestProjector_AnswersToCommandsAreKeptAndForgotten(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 2)
	w.do(commanded(about(1), 1), hold(1))
	w.do(commanded(about(2), 2), hold(1))
	w.do(commanded(about(3), 3), hold(3, of(1, 2)))
	w.do(commanded(about(1), 4), hold(1))
	w.do(commanded(on(), 5), &wire.SetSelling{Selling: true})
	bad := hold(4)
	bad.Subject = []byte("two words")
	w.do(commanded(about(4), 6), bad)
	w.do(commanded(about(1), 7), &wire.PaymentStarted{Attempt: id(60)})
	w.do(commanded(wire.Record{Object: 404, Ref: id(9)}, 8), hold(1))
	w.project(100)
	for n, text := range []string{
		1: "(held,1,{})", 2: "(alreadyHeld,1,{})",
		3: `(refused,3,"{""lines"": [{""left"": 1, ""asked"": 2, ""ticketType"": 1}], ""reason"": ""sold-out""}")`,
		4: `(repeated,1,"{""first"": ""held""}")`, 5: "(sellingSet,0,{})", 6: `(rejected,4,"{""reason"": ""invalid""}")`, 7: "(paymentBegun,1,{})",
		8: `(refused,9,"{""lines"": [], ""reason"": ""unknown-object""}")`,
	} {
		if n > 0 {
			command := id(900 + n)
			w.want(text, `SELECT outcome, ('x' || substr(booking_id::text, 16, 3))::bit(12)::int * 0 + `+
				`('x' || substr(replace(booking_id::text, '-', ''), 9, 8))::bit(32)::int, detail FROM commands WHERE id = $1`, command[:])
		}
	}
	w.project(100)
	w.exec(`UPDATE commands SET at = at - interval '26 hours' WHERE seq < 8`)
	w.wait(70 * second)
	w.project(1000)
	w.want("(5)", `SELECT count(*) FROM commands`)
}

func TestProjector_UnknownEventsAreSkippedNotFatal(t *testing.T) {
	w := newWorld(t)
	w.do(wire.Record{Object: 404}, &wire.DefineEvent{Currency: eur})
	w.do(wire.Record{Object: 404}, &wire.DefineType{Type: 1, Capacity: 1, Default: true})
	w.do(wire.Record{Object: 404, Ref: id(9)}, hold(1))
	w.event(wire.DefineEvent{}, 2)
	w.do(about(1), hold(1))
	w.project(100)
	w.want("(1)", `SELECT count(*) FROM bookings`)
}

func TestProjector_StrangeBytesDoNotStopIt(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 2)
	w.do(about(1), hold(1))
	w.do(about(1), &wire.Authorised{Attempt: id(60), Amount: 1, Currency: [3]byte{0, 0xff, '"'}, Intent: []byte("pi\x00\xff")})
	w.do(about(1), &wire.Authorised{Attempt: id(61), Amount: 1320, Currency: eur, Intent: []byte{0}})
	same := hold(2) // tickets of the same ids as another booking's
	same.TicketBase = id(5001)
	w.do(about(2), same)
	w.do(about(2), pay(62, 1320))
	w.project(100)
	w.booking(1, "(confirmed,1320,\"\")")
	w.booking(2, "(confirmed,1320,\"\")")
	w.want("(1)", `SELECT count(*) FROM tickets`)
}

func TestProjector_SameBatchTwiceChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 2)
	w.do(about(1), hold(1))
	p := w.projector()
	batch, next := w.batch(0, len(w.all))
	if err := p.write(t.Context(), batch, next); err != nil {
		t.Fatal(err)
	}
	again := w.projector()
	again.does.Resume(store.Projected{NextSeq: 1})
	if err := again.write(t.Context(), batch, next); !errors.Is(err, store.ErrProjectionMoved) {
		t.Fatalf("got %v", err)
	}
	w.want("(1)", `SELECT count(*) FROM notifications`)
}

func TestProjector_StandsByWhileAnotherMovesThePosition(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 2)
	w.project(100)
	const still = 400 * time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- w.projector().standBy(t.Context(), still) }()
	for range 8 {
		w.exec(`UPDATE projection_offsets SET next_seq = next_seq + 1`)
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(still / 4):
		}
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestProjector_AFailedBatchLeavesNoTrace(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 2)
	w.do(about(1), hold(1))
	p := w.projector()
	batch, next := w.batch(0, len(w.all))
	batch[len(batch)-1].Body = batch[len(batch)-1].Body[:10]
	if err := p.write(t.Context(), batch, next); !errors.Is(err, errOutcome) {
		t.Fatalf("got %v", err)
	}
	w.want("(f)", `SELECT defined FROM events WHERE id = $1`, show)
	w.want("", `SELECT next_seq FROM projection_offsets`)
}

// TestProjector_FoldOfOutcomesWhateverTheBatches runs one story through batches of every size and compares the tables.
func TestProjector_FoldOfOutcomesWhateverTheBatches(t *testing.T) {
	w := newWorld(t)
	story(w)
	for k := wire.KindTicked; k <= wire.KindRevoked; k++ {
		if wire.NewOrderOutcome(k) != nil && !w.seen[k] && k != wire.KindEpochStarted {
			t.Errorf("the story lacks outcome kind %d", k)
		}
	}
	const tables = `SELECT (SELECT string_agg(b::text, ' ' ORDER BY id) FROM bookings b) || (SELECT string_agg(l::text, ' ' ORDER BY booking_id, line) FROM booking_lines l)
		|| (SELECT string_agg(t::text, ' ' ORDER BY id) FROM tickets t) || (SELECT string_agg(t::text, ' ' ORDER BY event_id, type) FROM ticket_types t)
		|| (SELECT string_agg(kind || cause || payload::text, ' ' ORDER BY kind, cause) FROM outbox)
		|| (SELECT string_agg(h::text, ' ' ORDER BY tick_offset) FROM chain_heads h)`
	read := func() (text string) {
		if err := w.db.Write.QueryRow(t.Context(), tables).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	w.project(10_000)
	first := read()
	for _, size := range []int{1, 7} {
		w.exec(`TRUNCATE bookings, booking_lines, tickets, outbox, notifications, commands, projection_offsets, refunds, chain_heads CASCADE`)
		w.exec(`UPDATE payments SET status = 'started'`)
		w.exec(`UPDATE payment_attempts SET status = 'failed'`)
		w.project(size)
		if again := read(); again != first {
			t.Fatalf("batches of %d give\n%s\nwant\n%s", size, again, first)
		}
	}
}

// story makes every kind of outcome that the machine knows.
func story(w *world) {
	w.event(wire.DefineEvent{}, 4)
	for n := 1; n <= 4; n++ {
		w.do(about(n), hold(n))
		w.payment(n, 60+n, 1320)
	}
	w.do(about(9), hold(1))
	w.do(about(1), hold(1))
	bad := hold(9)
	bad.Subject = []byte("two words")
	w.do(about(10), bad)
	w.do(about(5), waiting(hold(5)))
	w.do(about(6), hold(6))
	w.do(about(1), &wire.PaymentStarted{Attempt: id(61)})
	w.do(about(1), pay(61, 1320))
	w.do(about(1), &wire.CaptureFailed{Attempt: id(61)})
	w.do(about(2), pay(62, 1320))
	w.do(about(2), &wire.Refunded{Refund: id(70), Return: true, Tickets: []uint16{0}})
	w.do(about(3), pay(63, 1))
	w.do(about(3), &wire.Cancel{})
	w.tick(w.clock.Now + 50*second)
	w.wait(1900 * second)
	w.do(on(), &wire.SetPrice{Type: 1, Price: wire.Price{Ticket: 5}})
	w.do(on(), &wire.SetCapacity{Type: 1, Capacity: 9})
	w.do(on(), &wire.SetSelling{Selling: true})
	w.do(on(), &wire.SetMethodLimit{PerMethod: 2})
	w.do(about(7), hold(7, of(1, 2)))
	w.do(on(), &wire.CancelEvent{})
}

func TestProjector_RunFollowsTheTopicAndSurvivesARolledBackDatabase(t *testing.T) {
	w := newWorld(t)
	w.event(wire.DefineEvent{}, 5)
	w.do(about(1), hold(1))
	log := testkafka.Log(t)
	topic := testkafka.Topic(t, log, "outcomes", 1)
	append := func() {
		t.Helper()
		_, next, err := log.Bounds(t.Context(), topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range w.all[next:] {
			if _, err := log.Producer(topic).Append(t.Context(), 0, raw, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	append()
	p, err := NewProjector(ProjectorConfig{Topic: topic}, Deps{Store: w.db, Events: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	until(t, w, `SELECT 1 FROM bookings WHERE id = $1 AND status = 'held'`, uuid(1))
	w.tick(w.clock.Now + second)
	append()
	until(t, w, `SELECT 1 FROM chain_heads WHERE tick_offset > (SELECT log_offset FROM bookings)`)
	// A failover loses the last transactions.
	w.exec(`TRUNCATE bookings, booking_lines, tickets, outbox, notifications, commands, chain_heads CASCADE`)
	w.exec(`UPDATE projection_offsets SET next_seq = 1, next_offset = 0, hash = 0, outage = 0, log_time = 0`)
	w.do(about(2), hold(2))
	append()
	until(t, w, `SELECT 1 FROM bookings WHERE id = $1`, uuid(1))
	until(t, w, `SELECT 1 FROM bookings WHERE id = $1`, uuid(2))
	until(t, w, `SELECT 1 FROM chain_heads WHERE tick_offset > (SELECT log_offset FROM bookings WHERE id = $1)`, uuid(1))
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// A gap halts.
	w.do(about(3), hold(3))
	w.do(about(4), hold(4))
	if _, err := log.Producer(topic).Append(t.Context(), 0, w.all[len(w.all)-1], time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); !errors.Is(err, follow.ErrGap) {
		t.Errorf("after a gap: %v", err)
	}
}

// until waits for a row.
func until(t *testing.T, w *world, sql string, args ...any) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var one int
		if w.db.Write.QueryRow(t.Context(), sql, args...).Scan(&one) == nil {
			return
		}
	}
	t.Fatalf("no row of %s %v", sql, args)
}
