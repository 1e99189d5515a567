package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fairgate/internal/crowd"
	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
)

// readFacts reads from the logs' outcomes and from Postgres what crowd.Audit holds a journal of acknowledgements
// against. The sale must have come to rest.
func (a *assembly) readFacts(ctx context.Context, sim *stripesim.Sim) (crowd.Facts, error) {
	f := crowd.Facts{
		Now: time.Now().UnixMicro(), Places: map[string]crowd.PlaceFact{}, Passes: map[string]crowd.PassFact{},
		Bookings: map[string]crowd.BookingFact{}, Payments: map[string]crowd.PaymentFact{},
	}
	for p := range int32(a.cfg.Kafka.QueuePartitions) {
		if err := a.eachOutcome(ctx, wire.TopicQueueOutcomes, p, func(o *wire.Outcome) error { return queueFact(&f, o) }); err != nil {
			return f, err
		}
	}
	for p := range int32(a.cfg.Kafka.OrdersPartitions) {
		if err := a.eachOutcome(ctx, wire.TopicOutcomes, p, func(o *wire.Outcome) error { return orderFact(&f, o) }); err != nil {
			return f, err
		}
	}
	if err := a.storedFacts(ctx, &f); err != nil {
		return f, err
	}
	return f, a.paymentFacts(ctx, &f, sim)
}

// errEnd ends a reading at the end of the topic as it was when the reading began.
var errEnd = errors.New("read to the end")

// eachOutcome calls do for every outcome of a partition so far, once each, in order.
func (a *assembly) eachOutcome(ctx context.Context, topic string, partition int32, do func(*wire.Outcome) error) error {
	first, next, err := a.events.Bounds(ctx, a.topic(topic), partition)
	if err != nil || first == next {
		return err
	}
	records := a.events.Tail(a.topic(topic), partition, next-1, eventlog.TailConfig{})
	last, err := records.Fetch(ctx)
	if err != nil || len(last) == 0 {
		return fmt.Errorf("reading the end of %s/%d: %w", topic, partition, err)
	}
	end, err := wire.ParseOutcome(last[0].Value)
	if err != nil {
		return err
	}
	err = follow.Run(ctx, follow.Config{Topic: a.topic(topic), Partition: partition}, follow.Deps{Events: a.events},
		func(_ context.Context, batch []wire.Outcome, _ follow.Position) error {
			for i := range batch {
				if err := do(&batch[i]); err != nil {
					return err
				}
				if batch[i].Seq >= end.Seq {
					return errEnd
				}
			}
			return nil
		})
	if errors.Is(err, errEnd) {
		return nil
	}
	return err
}

func queueFact(f *crowd.Facts, o *wire.Outcome) error {
	place := wire.Hex(o.Ref)
	switch o.Kind {
	case wire.KindJoined:
		var j wire.Joined
		if err := o.DecodeInto(&j); err != nil {
			return err
		}
		was := f.Places[place]
		f.Places[place] = crowd.PlaceFact{Room: o.Object, OrderKey: j.Key.String(), Joined: was.Joined + 1}
	case wire.KindClaimed:
		var c wire.Claimed
		if err := o.DecodeInto(&c); err != nil {
			return err
		}
		was := f.Passes[wire.Hex(c.Pass)]
		f.Passes[wire.Hex(c.Pass)] = crowd.PassFact{Place: place, Expires: c.Expires, Claimed: was.Claimed + 1, Used: was.Used}
	}
	return nil
}

// orderFact folds one outcome into the booking that it is about.
func orderFact(f *crowd.Facts, o *wire.Outcome) error {
	id := sale.UUID(o.Ref).String()
	b, known := f.Bookings[id]
	body := wire.NewOrderOutcome(o.Kind)
	if body == nil {
		return nil
	}
	if err := o.DecodeInto(body); err != nil {
		return err
	}
	reserve := func(r *wire.Reserved, status string) {
		b.Event, b.User, b.Currency = o.Object, string(r.Subject), string(r.Currency[:])
		b.Total = sale.Money{Minor: r.Total, Currency: b.Currency}.String()
		b.Logged, b.Expires = status, r.Expires
	}
	switch v := body.(type) {
	case *wire.Held:
		reserve(&v.Reserved, "held")
		b.Made++
		if v.Pass != (wire.ID{}) {
			pass := f.Passes[wire.Hex(v.Pass)]
			pass.Used++
			f.Passes[wire.Hex(v.Pass)] = pass
		}
	case *wire.Offered:
		reserve(&v.Reserved, "offered")
	case *wire.Waitlisted:
		b.Event, b.User, b.Logged = o.Object, string(v.Subject), "waitlisted"
		b.Made++
	case *wire.Confirmed:
		b.Logged, b.Expires = "confirmed", 0
		b.Confirmed++
	case *wire.Cancelled:
		b.Logged = "cancelled"
	case *wire.Lapsed:
		b.Logged = "lapsed"
	case *wire.Closed:
		b.Logged = "closed"
	case *wire.Frozen:
		b.Logged, b.Expires = "frozen", v.Expires
	case *wire.Revoked:
		b.Logged = "revoked"
	case *wire.TicketsRefunded:
		if v.Whole {
			b.Logged = "refunded"
		}
	default:
		return nil
	}
	if known || b.Made > 0 {
		f.Bookings[id] = b
	}
	return nil
}

func (a *assembly) storedFacts(ctx context.Context, f *crowd.Facts) error {
	rows, err := a.db.BookingStates(ctx)
	if err != nil {
		return err
	}
	for _, r := range rows {
		id := r.Booking.String()
		b := f.Bookings[id]
		b.Stored, b.Tickets = r.Status, r.ValidTickets
		f.Bookings[id] = b
	}
	return nil
}

// paymentFacts joins our payments with what the provider says of the same intents.
func (a *assembly) paymentFacts(ctx context.Context, f *crowd.Facts, sim *stripesim.Sim) error {
	rows, err := a.db.PaymentStates(ctx)
	if err != nil {
		return err
	}
	intents := map[string]stripesim.Intent{}
	for _, i := range sim.PaymentIntents() {
		intents[i.ID] = i
	}
	return fillPayments(f, rows, intents)
}

func fillPayments(f *crowd.Facts, rows []store.PaymentState, intents map[string]stripesim.Intent) error {
	for _, r := range rows {
		p := crowd.PaymentFact{
			Booking: r.Booking.String(), Status: r.Status, Currency: r.Currency,
			Amount: sale.Money{Minor: r.Amount, Currency: r.Currency}.String(), Voided: true,
		}
		var captured int64
		for _, id := range r.Intents {
			switch i := intents[id]; i.Status {
			case "succeeded":
				p.Captures++
				captured += i.Received
			case "requires_capture":
				p.Voided = false
			}
		}
		if captured > 0 {
			p.Captured = sale.Money{Minor: captured, Currency: r.Currency}.String()
		}
		p.Refunded = r.Status == "refunded"
		f.Payments[r.Payment.String()] = p
	}
	return nil
}
