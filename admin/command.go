package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// CommandLife is how long after it was sent an operator's command may still take effect.
const CommandLife = 10 * time.Second

// Commander appends operators' commands to the logs and brings their outcomes back. It is safe for concurrent use.
type Commander struct {
	Orders     *eventlog.Producer // of the topic `orders`
	Queue      *eventlog.Producer // of the topic `queue`
	OrdersDesk *answer.Desk       // on the topic `outcomes`
	QueueDesk  *answer.Desk       // on the topic `queue-outcomes`
	RoomTime   func() (now, bound int64)
	Random     io.Reader     // nil means crypto/rand
	AnswerWait time.Duration // 0 means CommandLife
}

// Refusal is what the machine said instead of doing it.
type Refusal struct {
	Reason  wire.Reason
	Command wire.Kind
}

// Error names the reason.
func (r *Refusal) Error() string { return "refused: " + r.Reason.String() }

// Event sends a command about an event, whose row says the partition. after is the sequence number of the object's last
// change that the operator saw, 0 for any. Errors: *Refusal, or that no answer came (it may still take effect).
func (c *Commander) Event(ctx context.Context, partition int32, event int64, after uint64, body wire.Body) (wire.Outcome, error) {
	return c.send(ctx, c.Orders, c.OrdersDesk, partition, wire.Record{Object: event, After: after}, body)
}

// Booking sends a command about one booking of an event.
func (c *Commander) Booking(ctx context.Context, partition int32, event int64, booking wire.ID, body wire.Body) (wire.Outcome, error) {
	return c.send(ctx, c.Orders, c.OrdersDesk, partition, wire.Record{Object: event, Ref: booking}, body)
}

// Room sends a command about a waiting room.
func (c *Commander) Room(ctx context.Context, partition int32, room int64, after uint64, body wire.Body) (wire.Outcome, error) {
	return c.send(ctx, c.Queue, c.QueueDesk, partition, wire.Record{Object: room, After: after}, body)
}

func (c *Commander) send(ctx context.Context, log *eventlog.Producer, desk *answer.Desk, partition int32, r wire.Record, body wire.Body) (wire.Outcome, error) {
	random := c.Random
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, r.Command[:]); err != nil {
		return wire.Outcome{}, err
	}
	wait := c.AnswerWait
	if wait == 0 {
		wait = CommandLife
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	now, _ := c.RoomTime()
	r.NotAfter = now + CommandLife.Microseconds()
	value := wire.AppendRecord(nil, r, body)
	out, err := desk.Ask(ctx, func(ctx context.Context) error {
		_, err := log.Append(ctx, partition, value, time.UnixMicro(r.NotAfter))
		return err
	}, r.Command)
	if err != nil {
		return wire.Outcome{}, fmt.Errorf("sending a command: %w", err)
	}
	return out, refusal(&out, log == c.Queue)
}

// refusal is the error that an outcome stands for, if any.
func refusal(o *wire.Outcome, queue bool) error {
	var rejected wire.Rejected
	if o.Kind == wire.KindRejected && o.DecodeInto(&rejected) == nil {
		return &Refusal{Reason: rejected.Reason}
	}
	var down wire.TurnedDown
	if queue && o.Kind == wire.KindTurnedDown && o.DecodeInto(&down) == nil {
		return &Refusal{Reason: down.Reason, Command: down.Command}
	}
	var refused wire.Refused
	if !queue && o.Kind == wire.KindRefused && o.DecodeInto(&refused) == nil {
		return &Refusal{Reason: refused.Reason, Command: refused.Command}
	}
	return nil
}

// Refused says whether an error is a machine's refusal for a reason.
func Refused(err error, reason wire.Reason) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Reason == reason
}
