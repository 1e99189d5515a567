package processor

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/follow"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/processor/stock"
)

const (
	second = sale.Second
	start  = int64(1_800_000_000) * second
)

var eur = [3]byte{'E', 'U', 'R'}

// world is the real stock machine, numbered as the engine numbers it, before a real database.
type world struct {
	t       *testing.T
	db      *store.DB
	machine *stock.Machine
	clock   sale.LogClock
	out     wire.Outcomes
	offset  int64
	all     [][]byte // every outcome so far
	seen    map[wire.Kind]bool
}

func newWorld(t *testing.T) *world {
	db, err := store.New(t.Context(), store.Config{Write: conf.Secret(testpg.Migrated(t, "processor", store.Migrate))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	w := &world{t: t, db: db, machine: stock.New(stock.Limits{}), seen: map[wire.Kind]bool{}}
	w.clock.StartEpoch(1, stock.Code)
	w.tick(start)
	return w
}

// tick moves log time as the engine does: an outage is said first, then the tick, then what it makes due.
func (w *world) tick(now int64) {
	w.t.Helper()
	outage, ok := w.clock.Tick(1, now, 0)
	if !ok {
		w.t.Fatalf("tick to %d", now)
	}
	w.out.Begin(w.offset, now, wire.Record{})
	if outage > 0 {
		w.out.Add(&wire.Extended{Scope: 1, Cause: wire.CauseOutage, By: outage})
	}
	w.out.Add(&wire.Ticked{Epoch: 1, Now: now, Outage: w.clock.Outage, Chain: wire.Hash{byte(w.offset)}})
	w.machine.Tick(&w.clock, &w.out)
	w.close()
}

func (w *world) wait(length int64) {
	w.t.Helper()
	for end := w.clock.Now + length; w.clock.Now < end; {
		w.tick(min(w.clock.Now+2*second, end))
	}
}

// do applies a record and returns its first outcome.
func (w *world) do(r wire.Record, body wire.Body) wire.Body {
	w.t.Helper()
	p, err := wire.ParseRecord(wire.AppendRecord(nil, r, body))
	if err != nil {
		w.t.Fatal(err)
	}
	w.out.Begin(w.offset, w.clock.Now, p)
	w.machine.Apply(&w.clock, w.offset, p, &w.out)
	first := len(w.all)
	w.close()
	return w.body(first)
}

func (w *world) close() {
	w.out.End()
	w.offset++
	for i := range w.out.Len() {
		w.all = append(w.all, bytes.Clone(w.out.At(i)))
		w.seen[wire.Kind(w.out.At(i)[1])] = true
	}
	w.out.Reset()
}

func (w *world) body(i int) wire.Body {
	w.t.Helper()
	o, err := wire.ParseOutcome(w.all[i])
	if err != nil {
		w.t.Fatal(err)
	}
	body := wire.NewOrderOutcome(o.Kind)
	if err := o.DecodeInto(body); err != nil {
		w.t.Fatal(err)
	}
	return body
}

// batch returns the outcomes from one position in the list to another, and where to read on.
func (w *world) batch(from, to int) ([]wire.Outcome, follow.Position) {
	w.t.Helper()
	var batch []wire.Outcome
	next := follow.Position{Seq: 1}
	for i, raw := range w.all[:to] {
		o, err := wire.ParseOutcome(raw)
		if err != nil {
			w.t.Fatal(err)
		}
		next = follow.Position{Offset: int64(i) + 1, Seq: o.Seq + 1, Hash: o.Hash}
		if i >= from {
			batch = append(batch, o)
		}
	}
	return batch, next
}

// projector is one that stands where the database does.
func (w *world) projector() *Projector {
	w.t.Helper()
	p, err := NewProjector(ProjectorConfig{}, Deps{Store: w.db})
	if err != nil {
		w.t.Fatal(err)
	}
	at, err := w.db.Projected(w.t.Context(), p.name, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	p.does.Resume(at)
	return p
}

// project writes everything that is new, in batches of a size, and returns the projector that did.
func (w *world) project(size int) *Projector {
	w.t.Helper()
	p := w.projector()
	for from := int(p.does.From().Seq) - 1; from < len(w.all); {
		to := min(from+size, len(w.all))
		batch, next := w.batch(from, to)
		if err := p.write(w.t.Context(), batch, next); err != nil {
			w.t.Fatal(err)
		}
		from = to
	}
	return p
}

const show = int64(41)

// event makes the row and the definition of an event with type 1 (10.00 + 1.00 fee, 20 % tax) and type 2 (free).
func (w *world) event(d wire.DefineEvent, capacity uint32) {
	w.t.Helper()
	w.exec(`INSERT INTO rooms (id, organiser_id, name, partition, cap, per_minute) VALUES (5, 1, 'Room', 3, 10, 60) ON CONFLICT DO NOTHING`)
	w.exec(`INSERT INTO events (id, organiser_id, merchant_account_id, room_id, name, zone, starts_at, ends_at, start_date, end_date, currency, partition)
		VALUES ($1, 1, 1, 5, 'Show', 'UTC', now(), now(), current_date, current_date, 'EUR', 0)`, show)
	w.exec(`INSERT INTO ticket_types (event_id, type, name, is_default, price, capacity, target) VALUES ($1, 1, 'Seat', true, 1, 0, 0), ($1, 2, 'Child', false, 1, 0, 0)`, show)
	d.Currency, d.Room, d.RoomPartition = eur, 5, 3
	w.do(on(), &d)
	w.do(on(), &wire.DefineType{Type: 1, Capacity: capacity, Default: true, Price: wire.Price{Ticket: 1000, Fee: 100, TaxRate: 200_000}})
	w.do(on(), &wire.DefineType{Type: 2, Capacity: 5})
}

func on() wire.Record { return wire.Record{Object: show} }

func about(n int) wire.Record { return wire.Record{Object: show, Ref: id(n)} }

func commanded(r wire.Record, command int) wire.Record {
	r.Command, r.NotAfter = id(900+command), 1<<60
	return r
}

func id(n int) (v wire.ID) {
	binary.BigEndian.PutUint64(v[:], uint64(n))
	v[8], v[15] = 0x80, 0
	return v
}

func uuid(n int) sale.UUID { return sale.UUID(id(n)) }

func user(n int) string { return fmt.Sprintf("user-%d", n) }

func hold(n int, lines ...wire.Line) *wire.Hold {
	return &wire.Hold{Subject: []byte(user(n)), UserKey: sale.UserKey(user(n)), TicketBase: id(5000 + n), Lines: lines}
}

func waiting(h *wire.Hold) *wire.Hold { h.Waitlist = true; return h }

func of(kind uint32, quantity uint16) wire.Line { return wire.Line{Type: kind, Quantity: quantity} }

func pay(attempt int, amount int64) *wire.Authorised {
	return &wire.Authorised{Attempt: id(attempt), Amount: amount, Currency: eur, Intent: fmt.Appendf(nil, "pi_%d", attempt)}
}

// payment makes the rows that the payment room makes before a payment.
func (w *world) payment(booking, attempt int, amount int64) {
	w.t.Helper()
	w.exec(`INSERT INTO payments (id, booking_id, event_id, merchant_account_id, user_id, amount, currency, status)
		VALUES ($1, $2, $3, 1, 'u', $4, 'EUR', 'started') ON CONFLICT DO NOTHING`, uuid(20_000+booking), uuid(booking), show, amount)
	w.exec(`INSERT INTO payment_attempts (id, payment_id, number, intent, status) VALUES ($1, $2, $3, $4, 'open')`,
		uuid(attempt), uuid(20_000+booking), attempt, fmt.Sprintf("pi_%d", attempt))
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Write.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// want compares one row, written as text, with what a query finds; "" is no row.
func (w *world) want(text, sql string, args ...any) {
	w.t.Helper()
	var got string
	err := w.db.Write.QueryRow(context.Background(), `SELECT coalesce((SELECT string_agg(r::text, ' ') FROM (`+sql+`) r), '')`, args...).Scan(&got)
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	if got != text {
		w.t.Errorf("%s %v:\n got %s\nwant %s", sql, args, got, text)
	}
}

func (w *world) booking(n int, text string) {
	w.t.Helper()
	w.want(text, `SELECT status, total, reason FROM bookings WHERE id = $1`, uuid(n))
}
