package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fairgate/internal/store"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

func stocks(b wire.Body) []wire.Stock { return model.Stocks(b) }

// view is one fixed view of the database: everything read through it is of one moment.
type view struct {
	conn *pgxpool.Conn
	tx   pgx.Tx
}

func openView(ctx context.Context, pool *pgxpool.Pool) (*view, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening a view of the database: %w", err)
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err == nil {
		// The view begins with its first query, not with BEGIN.
		_, err = tx.Exec(ctx, `SELECT count(*) FROM projection_offsets`)
	}
	if err != nil {
		conn.Release()
		return nil, fmt.Errorf("opening a view of the database: %w", err)
	}
	return &view{conn, tx}, nil
}

func (v *view) close() {
	// Nothing was written; whether the rollback arrives does not matter.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = v.tx.Rollback(ctx)
	v.conn.Release()
}

// position is how far the projection of a partition had come.
type position struct {
	next uint64
	hash uint64
}

func (v *view) projected(ctx context.Context, p int32) (position, error) {
	at := position{next: 1}
	rows, err := v.tx.Query(ctx, `SELECT next_seq, hash FROM projection_offsets WHERE projection = $1 AND partition = $2`, store.ProjectionBookings, p)
	if err != nil {
		return at, fmt.Errorf("reading how far the projection is: %w", err)
	}
	var next, hash int64
	_, err = pgx.ForEachRow(rows, []any{&next, &hash}, func() error {
		at = position{uint64(next), uint64(hash)}
		return nil
	})
	if err != nil {
		return at, fmt.Errorf("reading how far the projection is: %w", err)
	}
	return at, nil
}

// projection holds what Postgres says of a partition against the fold of its outcomes.
func (v *verifier) projection(ctx context.Context, pg *view, f *fold, at position) error {
	where := fmt.Sprintf("projection %d", f.partition)
	if f.seq+1 != at.next {
		v.violate(5, where, "Postgres has outcomes up to number %d, the log up to %d", at.next-1, f.seq)
		return nil
	}
	if f.hash != at.hash {
		v.violate(5, where, "Postgres knows another running hash after outcome number %d", f.seq)
	}
	known, err := pg.events(ctx)
	if err != nil {
		return err
	}
	for _, check := range []func(context.Context, *view, *fold, map[int64]bool) error{
		v.checkEvents, v.checkTypes, v.checkBookings, v.checkLines, v.checkTickets, v.checkCommands, v.checkObligations, v.checkHeads,
	} {
		if err := check(ctx, pg, f, known); err != nil {
			return fmt.Errorf("checking projection %d: %w", f.partition, err)
		}
	}
	return nil
}

// events are those that have a row: outcomes about others are not projected.
func (v *view) events(ctx context.Context) (map[int64]bool, error) {
	known := map[int64]bool{}
	rows, err := v.tx.Query(ctx, `SELECT id FROM events`)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { known[id] = true; return nil }); err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	return known, nil
}

// same holds one row against what it must be, written alike.
func (v *verifier) same(where, got, want string) {
	v.report.Counts["projection.rows"]++
	if got != want {
		v.violate(5, where, "Postgres says %s, the log says %s", got, want)
	}
}

func (v *verifier) checkEvents(ctx context.Context, pg *view, f *fold, _ map[int64]bool) error {
	rows, err := pg.tx.Query(ctx, `SELECT id, defined, selling, cancelled, changed_seq, per_card, per_card_seq FROM events WHERE partition = $1`, f.partition)
	if err != nil {
		return err
	}
	var id, changed, perCard, limited int64
	var defined, selling, cancelled bool
	_, err = pgx.ForEachRow(rows, []any{&id, &defined, &selling, &cancelled, &changed, &perCard, &limited}, func() error {
		e := f.events[id]
		if e == nil {
			e = &event{}
		}
		if limited == 0 {
			perCard = 0 // the organiser's wish, of which the log has not heard yet
		}
		text := func(d, s, c bool, n uint64, most int64) string {
			return fmt.Sprintf("defined=%t selling=%t cancelled=%t changed=%d bookings per card=%d", d, s, c, n, most)
		}
		v.same(fmt.Sprintf("event %d", id), text(defined, selling, cancelled, uint64(changed), perCard),
			text(e.defined, e.selling, e.cancelled, e.changed, int64(e.perMethod)))
		return nil
	})
	return err
}

func (v *verifier) checkTypes(ctx context.Context, pg *view, f *fold, _ map[int64]bool) error {
	rows, err := pg.tx.Query(ctx, `SELECT t.event_id, t.type, t.capacity, t.target, t.held, t.sold, t.free, t.price, t.fee, t.changed_seq
		FROM ticket_types t JOIN events e ON e.id = t.event_id WHERE e.partition = $1`, f.partition)
	if err != nil {
		return err
	}
	var id, kind, capacity, target, held, sold, free, price, fee, changed int64
	_, err = pgx.ForEachRow(rows, []any{&id, &kind, &capacity, &target, &held, &sold, &free, &price, &fee, &changed}, func() error {
		e := f.events[id]
		if e == nil || e.types[uint32(kind)] == nil {
			return nil // the log has not heard of it yet
		}
		k := e.types[uint32(kind)]
		text := func(n ...int64) string {
			return fmt.Sprintf("capacity %d target %d held %d sold %d free %d price %d fee %d changed %d", n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7])
		}
		v.same(fmt.Sprintf("event %d type %d", id, kind), text(capacity, target, held, sold, free, price, fee, changed),
			text(int64(k.stock.Capacity), int64(k.stock.Target), int64(k.stock.Held), int64(k.stock.Sold), int64(k.stock.Free),
				k.price.Ticket, k.price.Fee, int64(k.changed)))
		return nil
	})
	return err
}

func instant(micros int64) string {
	if micros == 0 {
		return "none"
	}
	return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano)
}

func (v *verifier) checkBookings(ctx context.Context, pg *view, f *fold, known map[int64]bool) error {
	rows, err := pg.tx.Query(ctx, `SELECT id, event_id, user_id, user_key, status, total, deadline, expires_at, ticket_base, log_offset, first_seq,
		first_outcome FROM bookings WHERE partition = $1`, f.partition)
	if err != nil {
		return err
	}
	var id, base [16]byte
	var event, total, deadline, offset, first int64
	var user, status, made string
	var key []byte
	var expires *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &event, &user, &key, &status, &total, &deadline, &expires, &base, &offset, &first, &made}, func() error {
		where := "booking " + wire.Hex(id)
		b := f.bookings[id]
		if b == nil {
			v.violate(5, where, "Postgres has a booking that the log never made")
			return nil
		}
		b.seen = true
		if made != "" && made != b.made { // empty: an older projector wrote the row
			v.violate(5, where, "Postgres says it began %s, the log says %s", made, b.made)
		}
		at, must := "none", "none"
		if expires != nil {
			at = instant(expires.UnixMicro())
		}
		if b.deadline != 0 {
			must = instant(b.deadline + f.outage)
		}
		text := func(event int64, user string, key []byte, status string, total, deadline int64, expires string, base wire.ID, offset, first int64) string {
			return fmt.Sprintf("event %d user %s/%x %s total %d deadline %d expires %s tickets %s record %d outcome %d",
				event, user, key, status, total, deadline, expires, wire.Hex(base), offset, first)
		}
		v.same(where, text(event, user, key, status, total, deadline, at, base, offset, first),
			text(b.event, b.user, b.key[:], b.status, b.total, b.deadline, must, b.base, b.offset, int64(b.first)))
		return nil
	})
	if err != nil {
		return err
	}
	for id, b := range f.bookings {
		if !b.seen && known[b.event] {
			v.violate(5, "booking "+wire.Hex(id), "Postgres lacks a booking that the log has (%s)", b.status)
		}
	}
	return nil
}

func (v *verifier) checkLines(ctx context.Context, pg *view, f *fold, known map[int64]bool) error {
	rows, err := pg.tx.Query(ctx, `SELECT b.id, string_agg(format('%s×%s %s+%s %s%% %s -%s tax %s = %s', l.quantity, l.type, l.price, l.fee, l.tax_rate,
			l.tax_included, l.discount, l.tax, l.total), ', ' ORDER BY l.line)
		FROM bookings b JOIN booking_lines l ON l.booking_id = b.id WHERE b.partition = $1 GROUP BY b.id`, f.partition)
	if err != nil {
		return err
	}
	var id [16]byte
	var got string
	found := map[wire.ID]bool{}
	_, err = pgx.ForEachRow(rows, []any{&id, &got}, func() error {
		found[id] = true
		b := f.bookings[id]
		if b == nil {
			return nil // said already
		}
		var want []string
		for _, l := range b.lines {
			included := "f"
			if l.Price.Included {
				included = "t"
			}
			want = append(want, fmt.Sprintf("%d×%d %d+%d %d%% %s -%d tax %d = %d", l.Quantity, l.Type, l.Price.Ticket, l.Price.Fee, l.Price.TaxRate,
				included, l.Discount, l.Tax, l.Total))
		}
		v.same("lines of booking "+wire.Hex(id), got, strings.Join(want, ", "))
		return nil
	})
	if err != nil {
		return err
	}
	for id, b := range f.bookings {
		if known[b.event] && len(b.lines) > 0 && !found[id] {
			v.violate(5, "lines of booking "+wire.Hex(id), "Postgres has none, the log has %d", len(b.lines))
		}
	}
	return nil
}

func (v *verifier) checkTickets(ctx context.Context, pg *view, f *fold, known map[int64]bool) error {
	rows, err := pg.tx.Query(ctx, `SELECT b.id, t.id, t.number, t.type, t.amount, t.status
		FROM bookings b JOIN tickets t ON t.booking_id = b.id WHERE b.partition = $1 ORDER BY b.id, t.number`, f.partition)
	if err != nil {
		return err
	}
	var id, unit [16]byte
	var number int
	var kind, amount int64
	var status string
	count := map[wire.ID]int{}
	_, err = pgx.ForEachRow(rows, []any{&id, &unit, &number, &kind, &amount, &status}, func() error {
		count[id]++
		where := fmt.Sprintf("ticket %d of booking %s", number, wire.Hex(id))
		b := f.bookings[id]
		if b == nil || number >= len(b.tickets) {
			v.violate(5, where, "Postgres has a ticket that the log never sold")
			return nil
		}
		if status == "valid" { // captured: the payments' side of confirmed
			status = "confirmed"
		}
		t := b.tickets[number]
		text := func(id wire.ID, kind, amount int64, status string) string {
			return fmt.Sprintf("%s type %d amount %d %s", wire.Hex(id), kind, amount, status)
		}
		v.same(where, text(unit, kind, amount, status), text(ticketID(b.base, number), int64(t.kind), t.amount, t.status))
		return nil
	})
	if err != nil {
		return err
	}
	for id, b := range f.bookings {
		if known[b.event] && count[id] != len(b.tickets) {
			v.violate(5, "booking "+wire.Hex(id), "Postgres has %d tickets, the log sold %d", count[id], len(b.tickets))
		}
	}
	return nil
}

// answersKept is how long an answer must be found, in log time (less than Postgres keeps it).
const answersKept = 24 * time.Hour

func (v *verifier) checkCommands(ctx context.Context, pg *view, f *fold, known map[int64]bool) error {
	rows, err := pg.tx.Query(ctx, `SELECT id, seq FROM commands WHERE partition = $1`, f.partition)
	if err != nil {
		return err
	}
	var raw []byte
	var seq int64
	found := map[wire.ID]bool{}
	_, err = pgx.ForEachRow(rows, []any{&raw, &seq}, func() error {
		if len(raw) != len(wire.ID{}) {
			v.violate(5, fmt.Sprintf("command %x", raw), "not an id")
			return nil
		}
		id := wire.ID(raw)
		found[id] = true
		v.same("command "+wire.Hex(id), fmt.Sprintf("outcome %d", seq), fmt.Sprintf("outcome %d", f.commands[id].seq))
		return nil
	})
	if err != nil {
		return err
	}
	for id, a := range f.commands {
		if a.hold && !found[id] && f.now-a.at < answersKept.Microseconds() && known[a.event] {
			v.violate(3, "command "+wire.Hex(id), "Postgres lacks the answer, outcome %d", a.seq)
		}
	}
	return nil
}

// checkObligations looks for a capture of every sale and a void of every refused authorisation.
func (v *verifier) checkObligations(ctx context.Context, pg *view, f *fold, known map[int64]bool) error {
	rows, err := pg.tx.Query(ctx, `SELECT kind, cause FROM outbox WHERE kind IN ('payment:capture', 'payment:void') AND starts_with(cause, $1)`,
		fmt.Sprintf("orders/%d/", f.partition))
	if err != nil {
		return err
	}
	var o obligation
	if _, err = pgx.ForEachRow(rows, []any{&o.kind, &o.cause}, func() error { delete(f.causes, o); return nil }); err != nil {
		return err
	}
	for o, event := range f.causes {
		if known[event] {
			v.violate(4, "outbox "+o.cause, "the obligation %s is missing", o.kind)
		}
	}
	return nil
}
