package verifytest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/verify"
	"fairgate/internal/wire"
	"fairgate/processor"
)

// kafka holds the topics of one test.
type kafka struct {
	t      *testing.T
	log    *eventlog.Log
	prefix string
}

func newKafka(t *testing.T) *kafka {
	k := &kafka{t: t, log: testkafka.Log(t), prefix: testkafka.Unique("verify") + "-"}
	var topics []eventlog.Topic
	for _, name := range []string{wire.TopicOrders, wire.TopicOutcomes, wire.TopicQueue, wire.TopicQueueOutcomes} {
		topics = append(topics, eventlog.Topic{Name: k.prefix + name, Partitions: 1, RetentionForever: true})
	}
	if err := k.log.EnsureTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kafka) append(topic string, values [][]byte) {
	k.t.Helper()
	for len(values) > 0 {
		n := min(len(values), 500)
		if _, err := k.log.AppendBatch(k.t.Context(), k.prefix+topic, 0, values[:n]); err != nil {
			k.t.Fatal(err)
		}
		values = values[n:]
	}
}

func (k *kafka) verify(cfg verify.Config, deps verify.Deps) verify.Report {
	k.t.Helper()
	cfg.Prefix, deps.Events = k.prefix, k.log
	report, err := verify.Run(k.t.Context(), cfg, deps)
	if err != nil {
		k.t.Fatal(err)
	}
	return report
}

// made is a log with its outcomes.
type made struct {
	records  [][]byte
	outcomes [][]byte
	starts   []int // of each record's outcomes
}

func (m *made) keep(record []byte, outcomes [][]byte) {
	m.records = append(m.records, record)
	m.starts = append(m.starts, len(m.outcomes))
	for _, b := range outcomes {
		m.outcomes = append(m.outcomes, bytes.Clone(b))
	}
}

func someOrders(t *testing.T, steps int) *made {
	m := &made{}
	w := newOrdersWorld(t, unlimited(rolled(11)), map[string]int{})
	w.keep = m.keep
	w.define()
	for range steps {
		w.step()
	}
	return m
}

func someQueue(t *testing.T, steps int) *made {
	m := &made{}
	w := newQueueWorld(t, rolled(11), map[string]int{})
	w.keep = m.keep
	w.begin()
	for range steps {
		w.step()
	}
	return m
}

func TestVerify_TrueLogsHaveNoViolation(t *testing.T) {
	k, o, q := newKafka(t), someOrders(t, 1_500), someQueue(t, 1_500)
	k.append(wire.TopicOrders, o.records)
	k.append(wire.TopicQueue, q.records)
	k.append(wire.TopicQueueOutcomes, q.outcomes)
	// A leader that lost its answer sends a batch again, and a paused old one sends an older one late.
	k.append(wire.TopicOutcomes, o.outcomes[:300])
	k.append(wire.TopicOutcomes, o.outcomes[200:])
	k.append(wire.TopicOutcomes, o.outcomes[100:250])
	report := k.verify(verify.Config{OrdersPartitions: 1, QueuePartitions: 1}, verify.Deps{})
	if !report.OK() || report.Counts["orders.records"] != int64(len(o.records)) || report.Counts["queue.records"] != int64(len(q.records)) ||
		report.Counts["orders.unanswered"] != 0 || report.Counts["outcomes.Held"] == 0 {
		t.Fatalf("%+v", report)
	}
}

func TestVerify_RecordsWithoutOutcomesYetAreCounted(t *testing.T) {
	k, o := newKafka(t), someOrders(t, 300)
	k.append(wire.TopicOrders, o.records)
	k.append(wire.TopicOutcomes, o.outcomes[:o.starts[len(o.starts)-5]])
	report := k.verify(verify.Config{OrdersPartitions: 1}, verify.Deps{})
	if !report.OK() || report.Counts["orders.unanswered"] != 5 {
		t.Fatalf("%+v", report)
	}
}

func TestVerify_ForgedTopicsAreFound(t *testing.T) {
	o := someOrders(t, 400)
	n := len(o.outcomes)
	other := bytes.Clone(o.outcomes[50])
	other[24] ^= 1
	for name, outcomes := range map[string][][]byte{
		"one missing":             append(append([][]byte{}, o.outcomes[:n/2]...), o.outcomes[n/2+1:]...),
		"two swapped":             swapped(o.outcomes, n/2),
		"one said otherwise":      append(append([][]byte{}, o.outcomes...), other),
		"one for no record":       append(append([][]byte{}, o.outcomes...), orphan(o)),
		"bytes that are none":     append(append([][]byte{}, o.outcomes...), []byte("hello")),
		"all of a record missing": append(append([][]byte{}, o.outcomes[:o.starts[40]]...), o.outcomes[o.starts[41]:]...),
	} {
		k := newKafka(t)
		k.append(wire.TopicOrders, o.records)
		k.append(wire.TopicOutcomes, outcomes)
		report := k.verify(verify.Config{OrdersPartitions: 1, MaxViolations: 3}, verify.Deps{})
		if report.OK() || len(report.Violations) > 3 {
			t.Errorf("%s: %+v", name, report)
		}
		var text strings.Builder
		if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), "violation of invariant") {
			t.Errorf("%s: %v\n%s", name, err, &text)
		}
	}
}

func swapped(all [][]byte, at int) [][]byte {
	out := append([][]byte{}, all...)
	out[at], out[at+1] = out[at+1], out[at]
	return out
}

// orphan is an outcome that follows all others and names a record that does not exist.
func orphan(m *made) []byte {
	last, err := wire.ParseOutcome(m.outcomes[len(m.outcomes)-1])
	if err != nil {
		panic(err)
	}
	out := wire.Outcomes{Seq: last.Seq, Hash: last.Hash}
	out.Begin(int64(len(m.records)), last.At, wire.Record{})
	out.Add(&wire.Rejected{Reason: wire.ReasonUndecodable})
	out.End()
	return out.At(0)
}

func TestReplay_TellsOneBookingsStory(t *testing.T) {
	k := newKafka(t)
	m := &made{}
	scripted(t, m)
	k.append(wire.TopicOrders, m.records)
	k.append(wire.TopicOutcomes, m.outcomes)
	var text strings.Builder
	n, err := verify.Replay(t.Context(), verify.Brokers(k.log), verify.Story{Log: wire.TopicOrders, Prefix: k.prefix, Ref: id('b', 1)}, &text)
	if err != nil || n != 2 || !strings.Contains(text.String(), "held for") || !strings.Contains(text.String(), "is sold for 23.82 EUR") || strings.Contains(text.String(), wire.Hex(id('b', 2))) {
		t.Fatalf("%d %v\n%s", n, err, &text)
	}
	if n, err = verify.Replay(t.Context(), verify.Brokers(k.log), verify.Story{Log: wire.TopicOrders, Prefix: k.prefix, Object: 1}, &text); err != nil || n < 8 {
		t.Fatalf("event: %d %v", n, err)
	}
	if _, err = verify.Replay(t.Context(), verify.Brokers(k.log), verify.Story{Log: "nonsense"}, &text); err == nil {
		t.Error("nonsense was accepted")
	}
}

// scripted is a small sale: one paid, one lapsed, one cancelled, one refused authorisation, one partly refunded.
func scripted(t *testing.T, m *made) {
	w := newOrdersWorld(t, unlimited(rolled(1)), map[string]int{})
	w.keep = m.keep
	w.send(wire.Record{}, &wire.Epoch{Epoch: 1, Leader: id('l', 1)})
	w.now = 1_800_000_000 * sec
	w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
	w.send(wire.Record{Object: 1}, &wire.DefineEvent{Currency: [3]byte{'E', 'U', 'R'}, Hold: 10 * sec})
	w.send(wire.Record{Object: 1}, &wire.DefineType{Type: 1, Capacity: 9, Default: true, Price: wire.Price{Ticket: 1000, Fee: 1, TaxRate: 190_000}})
	for n := 1; n <= 4; n++ {
		h := wire.Record{Object: 1, Ref: id('b', n), Command: id('c', n), NotAfter: w.now + 10*sec}
		w.send(h, &wire.Hold{Subject: subject(n), UserKey: key(n), TicketBase: id('t', n), Lines: []wire.Line{{Type: 1, Quantity: 2}}})
	}
	pay := func(n int, amount int64) {
		a := &wire.Authorised{Attempt: id('a', n), Amount: amount, Currency: [3]byte{'E', 'U', 'R'}, Intent: fmt.Appendf(nil, "pi_%d", n)}
		w.send(wire.Record{Object: 1, Ref: id('b', n)}, a)
	}
	pay(1, 2382)
	pay(2, 2382)
	w.send(wire.Record{Object: 1, Ref: id('b', 3)}, &wire.Cancel{})
	pay(3, 2382)
	w.send(wire.Record{Object: 1, Ref: id('b', 2)}, &wire.Refunded{Refund: id('r', 1), Return: true, Tickets: []uint16{1}})
	for range 8 {
		w.now += 2 * sec
		w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
	}
	h := wire.Record{Object: 1, Ref: id('b', 5), Command: id('c', 5), NotAfter: w.now + 10*sec}
	w.send(h, &wire.Hold{Subject: subject(5), UserKey: key(5), TicketBase: id('t', 5)})
	w.now += 60 * sec
	w.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: w.now})
}

func database(t *testing.T, events int) *store.DB {
	db, err := store.New(t.Context(), store.Config{Write: conf.Secret(testpg.Migrated(t, "verify", store.Migrate))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for e := 1; e <= events; e++ {
		exec(t, db, `INSERT INTO events (id, organiser_id, merchant_account_id, name, zone, starts_at, ends_at, start_date, end_date, currency, partition)
			VALUES ($1, 1, 1, 'Evening', 'UTC', now(), now(), current_date, current_date, 'EUR', 0)`, e)
		for k := 1; k <= 3; k++ {
			exec(t, db, `INSERT INTO ticket_types (event_id, type, name, price, capacity, target) VALUES ($1, $2, 'Seat', 1, 1, 1)`, e, k)
		}
	}
	return db
}

func exec(t *testing.T, db *store.DB, sql string, args ...any) {
	t.Helper()
	if _, err := db.Write.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// project runs the real projector until it has written every outcome.
func (k *kafka) project(db *store.DB, last uint64) {
	k.t.Helper()
	p, err := processor.NewProjector(processor.ProjectorConfig{Topic: k.prefix + wire.TopicOutcomes}, processor.Deps{Store: db, Events: k.log})
	if err != nil {
		k.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(k.t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for ctx.Err() == nil {
		at, err := db.Projected(ctx, store.ProjectionBookings, 0)
		if err == nil && at.NextSeq > last {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		k.t.Fatal(err)
	}
}

func TestVerify_PostgresIsTheFoldOfTheOutcomes(t *testing.T) {
	k, o, db := newKafka(t), someOrders(t, 1_200), database(t, 60)
	k.append(wire.TopicOrders, o.records)
	k.append(wire.TopicOutcomes, o.outcomes)
	k.project(db, uint64(len(o.outcomes)))
	report := k.verify(verify.Config{OrdersPartitions: 1, MaxViolations: 1000}, verify.Deps{DB: db.Write})
	for _, v := range report.Violations {
		// Nobody has paid here: the log's sales have no payments.
		if v.Invariant != 4 || strings.HasPrefix(v.Where, "outbox") {
			t.Errorf("%+v", v)
		}
	}
	if report.Counts["projection.rows"] < 200 {
		t.Errorf("only %d rows were compared", report.Counts["projection.rows"])
	}
}

// bank is a provider that holds so many cents for us.
type bank int64

func (b bank) Holds(context.Context) (map[string]int64, error) {
	return map[string]int64{"EUR": int64(b)}, nil
}

func TestVerify_EveryForgedRowIsFound(t *testing.T) {
	k, m, db := newKafka(t), &made{}, database(t, 1)
	scripted(t, m)
	for n := 1; n <= 3; n++ {
		exec(t, db, `INSERT INTO payments (id, booking_id, event_id, merchant_account_id, user_id, amount, currency, status)
			VALUES ($1, $2, 1, 1, 'u', 2382, 'EUR', 'started')`, id('p', n), id('b', n))
		exec(t, db, `INSERT INTO payment_attempts (id, payment_id, number, intent, status) VALUES ($1, $2, 1, $3, 'open')`, id('a', n), id('p', n), fmt.Sprintf("pi_%d", n))
	}
	k.append(wire.TopicOrders, m.records)
	k.append(wire.TopicOutcomes, m.outcomes)
	k.project(db, uint64(len(m.outcomes)))
	check := func() verify.Report { return k.verify(verify.Config{OrdersPartitions: 1}, verify.Deps{DB: db.Write}) }
	if report := check(); !report.OK() {
		t.Fatalf("%+v", report)
	}
	for _, forged := range []struct {
		invariant int
		do, undo  string
	}{
		{5, `UPDATE bookings SET status = 'held' WHERE status = 'lapsed'`, `UPDATE bookings SET status = 'lapsed' WHERE status = 'held' AND expires_at IS NULL`},
		{5, `UPDATE bookings SET total = total + 1`, `UPDATE bookings SET total = total - 1`},
		{5, `UPDATE bookings SET expires_at = expires_at + interval '1 second'`, `UPDATE bookings SET expires_at = expires_at - interval '1 second'`},
		{5, `UPDATE bookings SET user_id = user_id || 'x'`, `UPDATE bookings SET user_id = left(user_id, -1)`},
		{5, `UPDATE booking_lines SET fee = fee + 1`, `UPDATE booking_lines SET fee = fee - 1`},
		{5, `UPDATE tickets SET status = 'revoked' WHERE number = 0`, `UPDATE tickets SET status = 'confirmed' WHERE number = 0`},
		{5, `UPDATE tickets SET amount = amount + 2 * number - 1`, `UPDATE tickets SET amount = amount - 2 * number + 1`},
		{5, `UPDATE ticket_types SET held = held + 1`, `UPDATE ticket_types SET held = held - 1`},
		{5, `UPDATE events SET selling = NOT selling`, `UPDATE events SET selling = NOT selling`},
		{5, `UPDATE commands SET seq = seq + 1`, `UPDATE commands SET seq = seq - 1`},
		{5, `UPDATE projection_offsets SET hash = hash + 1`, `UPDATE projection_offsets SET hash = hash - 1`},
		{5, `UPDATE projection_offsets SET next_seq = next_seq + 1`, `UPDATE projection_offsets SET next_seq = next_seq - 1`},
		{4, `UPDATE outbox SET kind = 'x' || kind`, `UPDATE outbox SET kind = right(kind, -1)`},
		{4, `UPDATE payments SET amount = amount + 1`, `UPDATE payments SET amount = amount - 1`},
		{4, `INSERT INTO ledger (fact, entry, account, amount, currency, merchant_account_id, event_id, booking_id)
			SELECT 'dispute:x', 0, 'fees', 5, 'EUR', 1, 1, id FROM bookings LIMIT 1`, `ALTER TABLE ledger DISABLE TRIGGER USER; DELETE FROM ledger`},
	} {
		exec(t, db, forged.do)
		found := false
		report := check()
		for _, v := range report.Violations {
			found = found || v.Invariant == forged.invariant
		}
		if !found {
			t.Errorf("%s was not found: %+v", forged.do, report.Violations)
		}
		exec(t, db, forged.undo)
	}
	if report := check(); !report.OK() {
		t.Fatalf("after undoing all: %+v", report)
	}
	for amount, ok := range map[int64]bool{0: true, 5: false} {
		report := k.verify(verify.Config{}, verify.Deps{DB: db.Write, Provider: bank(amount)})
		if report.OK() != ok {
			t.Errorf("the provider holds %d: %+v", amount, report)
		}
	}
	exec(t, db, `DELETE FROM commands`)
	if report := check(); report.OK() {
		t.Error("lost answers were not found")
	}
}
