package booking

import (
	"sync"
	"time"

	"fairgate/internal/answer"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Limits of recent.
const (
	maxRecent   = 32_768  // bookings
	maxCommands = 131_072 // answers to commands
)

// recent remembers the newest bookings and answers as the log told them, so that nobody is sent to a projection that
// has not come so far. A booking stays until 32,768 newer ones were made: minutes on the busiest day, when the
// projection is seconds behind. A restart forgets everything, and then Postgres alone answers.
type recent struct {
	mu       sync.Mutex
	bookings map[wire.ID]*remembered
	order    ring[wire.ID]
	newest   map[ownerKey]wire.ID // a user's newest booking for an event
	commands map[wire.ID]*told
	asked    ring[wire.ID]
}

// remembered is a booking and whose it is.
type remembered struct {
	store.Booking
	owner ownerKey
}

type ownerKey struct {
	event int64
	user  wire.ID
}

// told is the first outcome of a command.
type told struct {
	kind    wire.Kind
	event   int64
	booking wire.ID // that answers it
	refused *refusal
}

// refusal is why nothing was done.
type refusal struct {
	reason wire.Reason
	lines  []wire.Shortage
}

func newRecent() *recent {
	return &recent{
		bookings: make(map[wire.ID]*remembered), newest: make(map[ownerKey]wire.ID), commands: make(map[wire.ID]*told),
		order: ring[wire.ID]{most: maxRecent}, asked: ring[wire.ID]{most: maxCommands},
	}
}

// ring is a queue that gives back its oldest element when it is full.
type ring[T any] struct {
	most  int
	items []T
	at    int
}

func (r *ring[T]) push(v T) (oldest T, full bool) {
	if len(r.items) < r.most {
		r.items = append(r.items, v)
		return oldest, false
	}
	oldest, r.items[r.at] = r.items[r.at], v
	r.at = (r.at + 1) % r.most
	return oldest, true
}

// hear is called by the desk for every outcome, in order within a partition.
func (r *recent) hear(partition int32, o wire.Outcome) {
	if o.Kind == wire.KindTicked {
		return
	}
	body := wire.NewOrderOutcome(o.Kind)
	if body == nil || o.DecodeInto(body) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.Index == 0 && o.Command != (wire.ID{}) && answer.Binding(&o) {
		r.note(o, body)
	}
	switch b := body.(type) {
	case *wire.Held:
		r.begin(partition, o, "held", &b.Reserved)
	case *wire.Offered:
		r.offer(partition, o, &b.Reserved)
	case *wire.Waitlisted:
		r.wait(partition, o, b)
	case *wire.Extended:
		r.extend(partition, o, b)
	default:
		if known := r.bookings[o.Ref]; known != nil {
			known.change(o, body)
		}
	}
}

func (r *recent) note(o wire.Outcome, body wire.Body) {
	t := &told{kind: o.Kind, event: o.Object, booking: o.Ref}
	switch b := body.(type) {
	case *wire.AlreadyHeld:
		t.booking = b.Booking
	case *wire.Refused:
		t.refused = &refusal{b.Reason, b.Lines}
	case *wire.Rejected:
		t.refused = &refusal{reason: b.Reason}
	case *wire.Repeated:
		return // the first answer stands
	}
	if r.commands[o.Command] != nil {
		return
	}
	if oldest, full := r.asked.push(o.Command); full {
		delete(r.commands, oldest)
	}
	r.commands[o.Command] = t
}

// begin remembers a new booking.
func (r *recent) begin(partition int32, o wire.Outcome, status string, v *wire.Reserved) {
	r.put(o.Ref, heldBooking(partition, o, status, v), ownerKey{o.Object, v.UserKey})
}

// offer turns a waiting booking into one that can be paid; it may have been made before we listened.
func (r *recent) offer(partition int32, o wire.Outcome, v *wire.Reserved) {
	known := r.bookings[o.Ref]
	if known == nil {
		// Its place in the log is not in this outcome, so Postgres tells it.
		return
	}
	b := heldBooking(partition, o, "offered", v)
	b.Offset, b.Created, b.FirstSeq, b.FirstKind = known.Offset, known.Created, known.FirstSeq, known.FirstKind
	known.Booking = b
}

func (r *recent) wait(partition int32, o wire.Outcome, w *wire.Waitlisted) {
	r.put(o.Ref, waitingBooking(partition, o, w), ownerKey{o.Object, w.UserKey})
}

func (r *recent) put(id wire.ID, b store.Booking, owner ownerKey) {
	if oldest, full := r.order.push(id); full {
		if gone := r.bookings[oldest]; gone != nil && r.newest[gone.owner] == oldest {
			delete(r.newest, gone.owner)
		}
		delete(r.bookings, oldest)
	}
	r.bookings[id], r.newest[owner] = &remembered{Booking: b, owner: owner}, id
}

// extend moves deadlines: of one booking, of an event's, or of all of a partition's.
func (r *recent) extend(partition int32, o wire.Outcome, x *wire.Extended) {
	if x.Scope == 0 {
		if known := r.bookings[o.Ref]; known != nil {
			known.Expires, known.LastSeq = time.UnixMicro(x.Until).UTC(), o.Seq
		}
		return
	}
	for _, known := range r.bookings {
		if known.Partition == partition && (o.Object == 0 || o.Object == known.Event) && !known.Expires.IsZero() {
			known.Expires = known.Expires.Add(time.Duration(x.By) * time.Microsecond)
			known.LastSeq = o.Seq
		}
	}
}

// change applies a later outcome of a booking.
func (b *remembered) change(o wire.Outcome, body wire.Body) {
	switch v := body.(type) {
	case *wire.Cancelled:
		b.end("cancelled", v.Reason)
	case *wire.Lapsed:
		b.end("lapsed", wire.ReasonNone)
	case *wire.Closed:
		b.end("closed", wire.ReasonNone)
	case *wire.Confirmed:
		b.end("confirmed", wire.ReasonNone)
	case *wire.Revoked:
		b.end("revoked", v.Reason)
	case *wire.Frozen:
		b.end("frozen", wire.ReasonCaptureFailed)
		b.Expires = time.UnixMicro(v.Expires).UTC()
	case *wire.TicketsRefunded:
		if v.Whole {
			b.end("refunded", wire.ReasonNone)
		}
	default:
		return
	}
	b.LastSeq, b.Updated = o.Seq, time.UnixMicro(o.At).UTC()
}

func (b *remembered) end(status string, reason wire.Reason) {
	b.Status, b.Reason, b.Expires = status, "", time.Time{}
	if reason != wire.ReasonNone {
		b.Reason = reason.String()
	}
}

// booking returns what is remembered of a booking.
func (r *recent) booking(id wire.ID) (store.Booking, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.bookings[id]; known != nil {
		return known.Booking, true
	}
	return store.Booking{}, false
}

// of returns the newest booking that a user made for an event.
func (r *recent) of(user string, event int64) (store.Booking, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id, ok := r.newest[ownerKey{event, sale.UserKey(user)}]; ok {
		return r.bookings[id].Booking, true
	}
	return store.Booking{}, false
}

// command returns the first outcome of a command.
func (r *recent) command(id wire.ID) (told, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.commands[id]; t != nil {
		return *t, true
	}
	return told{}, false
}

// heldBooking is the booking that a Held or Offered outcome tells of.
func heldBooking(partition int32, o wire.Outcome, status string, v *wire.Reserved) store.Booking {
	at := time.UnixMicro(o.At).UTC()
	b := store.Booking{
		ID: o.Ref, Event: o.Object, User: string(v.Subject), Status: status, Currency: string(v.Currency[:]), Total: v.Total,
		Expires: time.UnixMicro(v.Expires).UTC(), Partition: partition, Offset: o.Offset, FirstSeq: o.Seq, FirstKind: o.Kind,
		LastSeq: o.Seq, Created: at, Updated: at,
	}
	for _, l := range v.Lines {
		b.Lines = append(b.Lines, store.BookingLine{
			Type: l.Type, Quantity: int(l.Quantity), Seat: l.Seat, Price: sale.Price(l.Price), Discount: l.Discount, Tax: l.Tax, Total: l.Total,
		})
	}
	return b
}

// waitingBooking is the booking that a Waitlisted outcome tells of.
func waitingBooking(partition int32, o wire.Outcome, w *wire.Waitlisted) store.Booking {
	at := time.UnixMicro(o.At).UTC()
	b := store.Booking{
		ID: o.Ref, Event: o.Object, User: string(w.Subject), Status: "waitlisted",
		Partition: partition, Offset: o.Offset, FirstSeq: o.Seq, FirstKind: o.Kind, LastSeq: o.Seq, Created: at, Updated: at,
	}
	for _, l := range w.Lines {
		b.Lines = append(b.Lines, store.BookingLine{Type: l.Type, Quantity: int(l.Quantity), Seat: l.Seat})
	}
	return b
}
