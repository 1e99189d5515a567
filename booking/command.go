package booking

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"fairgate/internal/answer"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// command is one that a fan sends into the log.
type command struct {
	name  string // label of the metrics
	event *store.Event
	ref   wire.ID // the booking
	id    wire.ID
	keyed bool // the id derives from an Idempotency-Key
	until int64
	body  wire.Body
}

// errPending: the command may have been taken; its outcome is not known yet.
var errPending = errors.New("booking: outcome not known yet")

// send appends a command and waits for its outcome. errPending means that it may still be decided until c.until (log
// time, which send sets); other errors are problems, and nothing was done.
func (a *API) send(ctx context.Context, c *command) (wire.Outcome, error) {
	now, _ := a.deps.RoomTime()
	c.until = now + CommandLife.Microseconds()
	record := wire.Record{Object: c.event.ID, Ref: c.ref, Command: c.id, NotAfter: c.until}
	if c.keyed {
		record.Flags |= wire.FlagKeyed
	}
	value := wire.AppendRecord(nil, record, c.body)
	ctx, cancel := context.WithTimeout(ctx, a.cfg.AnswerWait)
	defer cancel()
	o, err := a.deps.Desk.AskUntil(ctx, func(ctx context.Context) error {
		_, err := a.deps.Orders.Append(ctx, c.event.Partition, value, a.now().Add(CommandLife))
		return err
	}, c.id, c.until)
	if err == nil {
		a.metrics.commands.WithLabelValues(c.name, outcomeName(o.Kind)).Inc()
		// Another request with the same id may have been first: then the record there is not ours.
		if (o.Kind == wire.KindHeld || o.Kind == wire.KindWaitlisted) && o.Ref == c.ref {
			a.receipts.appended(o.Partition, o.Offset, value)
		}
		return o, nil
	}
	switch answer.FateOf(err) {
	case answer.Pending:
		a.metrics.commands.WithLabelValues(c.name, "pending").Inc()
		return o, errPending
	case answer.NotTaken:
		a.metrics.commands.WithLabelValues(c.name, "notAppended").Inc()
		return o, kind(web.Unavailable(retrySoon), "try-again", "Try again shortly").
			Because("Bookings cannot be taken at this moment. Nothing was booked; please try again shortly.")
	}
	return o, fmt.Errorf("sending a command: %w", err)
}

// outcomeName is the name of the outcomes that answer a fan, as the table commands spells it.
func outcomeName(k wire.Kind) string {
	switch k {
	case wire.KindHeld:
		return "held"
	case wire.KindWaitlisted:
		return "waitlisted"
	case wire.KindAlreadyHeld:
		return "alreadyHeld"
	case wire.KindRefused:
		return "refused"
	case wire.KindRejected:
		return "rejected"
	case wire.KindRepeated:
		return "repeated"
	case wire.KindCancelled:
		return "cancelled"
	case wire.KindTicketsRefunded:
		return "ticketsRefunded"
	}
	return "other"
}

// commandID derives a command's id from the caller's key, or draws one.
func (a *API) commandID(user string, event int64, key string) (id wire.ID, keyed bool, err error) {
	if key == "" {
		if _, err := io.ReadFull(a.deps.Random, id[:]); err != nil {
			return id, false, fmt.Errorf("drawing a command id: %w", err)
		}
		return id, false, nil
	}
	// Lengths before the parts: no two callers' parts can be cut differently into the same bytes.
	text := binary.BigEndian.AppendUint64([]byte("idem"), uint64(event))
	text = append(binary.BigEndian.AppendUint16(text, uint16(len(user))), user...)
	text = append(text, key...)
	sum := sha256.Sum256(text)
	return wire.ID(sum[:16]), true, nil
}

// newID mints a UUIDv7 (RFC 9562) of room time.
func (a *API) newID() (u sale.UUID, err error) {
	if _, err := io.ReadFull(a.deps.Random, u[6:]); err != nil {
		return u, fmt.Errorf("drawing an id: %w", err)
	}
	ms := a.now().UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6], u[8] = u[6]&0x0f|0x70, u[8]&0x3f|0x80
	return u, nil
}

// ticketBase mints the id from which those of a booking's tickets are counted up (see sale.TicketID).
func (a *API) ticketBase() (sale.UUID, error) {
	u, err := a.newID()
	u[15] = 0
	return u, err
}
