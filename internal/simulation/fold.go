package simulation

import (
	"fmt"
	"slices"

	"fairgate/internal/wire"
)

// fold is what Postgres must hold when it has come to the end of the outcomes, derived here in its own way.
type fold struct {
	outage   int64
	bookings map[wire.ID]*folded
	ofEvent  map[int64][]*folded
	stock    map[key]wire.Stock
	commands map[wire.ID]uint64
	duties   map[key]bool
	heads    map[int64]wire.Hash // of every tick that may have one
	closing  []int64             // ticks that must have one: the first after a booking
	unclosed bool                // a booking was made since the last tick
}

// folded is a booking.
type folded struct {
	status   string
	total    int64
	deadline int64 // elapsed
	first    uint64
	event    int64
}

func newFold() *fold {
	return &fold{bookings: map[wire.ID]*folded{}, ofEvent: map[int64][]*folded{}, stock: map[key]wire.Stock{}, commands: map[wire.ID]uint64{},
		duties: map[key]bool{}, heads: map[int64]wire.Hash{}}
}

func (f *fold) take(o wire.Outcome) {
	body := wire.NewOrderOutcome(o.Kind)
	if body == nil || o.DecodeInto(body) != nil {
		return // the model has said so
	}
	if r, ok := body.(*wire.Rejected); ok && (r.Reason == wire.ReasonExpired || r.Reason == wire.ReasonFull) {
		return // it came to nothing, this time
	}
	if o.Index == 0 && o.Command != (wire.ID{}) && f.commands[o.Command] == 0 {
		f.commands[o.Command] = o.Seq
	}
	b := f.bookings[o.Ref]
	switch x := body.(type) {
	case *wire.Ticked:
		f.outage = x.Outage
		f.heads[o.Offset] = x.Chain
		if f.unclosed {
			f.unclosed, f.closing = false, append(f.closing, o.Offset)
		}
	case *wire.Extended:
		f.extended(o, x)
	case *wire.TypeDefined:
		f.numbers(o.Object, x.Stock)
	case *wire.CapacitySet:
		f.numbers(o.Object, x.Stock)
	case *wire.Held:
		f.open(o, &folded{status: "held", total: x.Total, deadline: x.Deadline})
		f.numbers(o.Object, x.Stock...)
	case *wire.Waitlisted:
		f.open(o, &folded{status: "waitlisted"})
	case *wire.Offered:
		b.status, b.total, b.deadline = "offered", x.Total, x.Deadline
		f.numbers(o.Object, x.Stock...)
	case *wire.AuthorisationRefused:
		if len(x.Intent) > 0 {
			f.duties[key{table: tableOutbox, n: int64(o.Seq), id: obligeVoid}] = true
		}
	default:
		f.moved(o, b, body)
	}
}

func (f *fold) open(o wire.Outcome, b *folded) {
	b.event, b.first, f.unclosed = o.Object, o.Seq, true
	f.bookings[o.Ref] = b
	f.ofEvent[o.Object] = append(f.ofEvent[o.Object], b)
}

func (f *fold) numbers(event int64, all ...wire.Stock) {
	for _, s := range all {
		f.stock[typeKey(event, s.Type)] = s
	}
}

func (b *folded) running() bool {
	return slices.Contains([]string{"held", "offered", "frozen"}, b.status)
}

func (f *fold) extended(o wire.Outcome, x *wire.Extended) {
	if x.Scope == 0 {
		if b := f.bookings[o.Ref]; b != nil && b.running() {
			b.deadline = x.Until - f.outage
		}
		return
	}
	for _, b := range f.ofEvent[o.Object] { // none of the whole partition: elapsed deadlines do not move
		if b.running() {
			b.deadline += x.By
		}
	}
}

func (f *fold) moved(o wire.Outcome, b *folded, body wire.Body) {
	if b == nil {
		return
	}
	status := ""
	switch x := body.(type) {
	case *wire.Lapsed:
		status = "lapsed"
		f.numbers(o.Object, x.Stock...)
	case *wire.Closed:
		status = "closed"
	case *wire.Cancelled:
		status = "cancelled"
		f.numbers(o.Object, x.Stock...)
	case *wire.Confirmed:
		status = "confirmed"
		f.numbers(o.Object, x.Stock...)
		if x.Amount > 0 {
			f.duties[key{table: tableOutbox, n: int64(o.Seq), id: obligeCapture}] = true
		}
	case *wire.Frozen:
		b.status, b.deadline = "frozen", x.Deadline
	case *wire.TicketsRefunded:
		if x.Whole {
			status = "refunded"
		}
		f.numbers(o.Object, x.Stock...)
	case *wire.Revoked:
		status = "revoked"
		f.numbers(o.Object, x.Stock...)
	}
	if status != "" {
		b.status, b.deadline = status, 0
	}
}

// compare says what Postgres holds that it should not, or the reverse; empty for nothing.
func (f *fold) compare(pg *postgres) string {
	count, least := map[table]int{}, ""
	for k, row := range pg.rows {
		count[k.table]++
		if d := f.differ(k, row); d != "" && (least == "" || d < least) {
			least = d // the same of many, in whatever order they come
		}
	}
	if least != "" {
		return least
	}
	want := [...]int{tableBooking: len(f.bookings), tableCommand: len(f.commands), tableOutbox: len(f.duties), tableType: len(f.stock)}
	for _, t := range []table{tableBooking, tableCommand, tableOutbox, tableType} {
		if count[t] != want[t] {
			return fmt.Sprintf("table %d has %d rows, must have %d", t, count[t], want[t])
		}
	}
	for _, at := range f.closing {
		if pg.rows[key{table: tableHead, n: at}] == nil {
			return fmt.Sprintf("the chain head at record %d is missing", at)
		}
	}
	return ""
}

func (f *fold) differ(k key, row any) string {
	switch r := row.(type) {
	case *booking:
		b := f.bookings[k.id]
		if b == nil {
			return "a booking that nobody made: " + wire.Hex(k.id)
		}
		expires := int64(0)
		if b.deadline != 0 {
			expires = b.deadline + f.outage
		}
		if r.status != b.status || r.total != b.total || r.deadline != b.deadline || r.expires != expires || r.first != b.first {
			return fmt.Sprintf("booking %s is %+v, must be %+v expiring %d", wire.Hex(k.id), *r, *b, expires)
		}
	case typeRow:
		if f.stock[k] != r.stock {
			return fmt.Sprintf("event %d has stock %+v, must have %+v", k.n, r.stock, f.stock[k])
		}
	case commandRow:
		if f.commands[k.id] != r.seq {
			return fmt.Sprintf("command %s was answered by outcome %d, must be %d", wire.Hex(k.id), r.seq, f.commands[k.id])
		}
	case wire.Hash:
		if f.heads[k.n] != r {
			return fmt.Sprintf("the chain head at record %d is %x, must be %x", k.n, r, f.heads[k.n])
		}
	case bool:
		if !f.duties[k] {
			return fmt.Sprintf("an obligation of outcome %d that nobody has", k.n)
		}
	}
	return ""
}
