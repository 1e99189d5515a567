package verify

import (
	"fmt"

	"fairgate/internal/wire"
)

// queueRecordWords is the sentence of a record of `queue`.
func queueRecordWords(r wire.Record, body wire.Body) string {
	place := placeName(r.Ref)
	switch b := body.(type) {
	case *wire.DefineRoom:
		return fmt.Sprintf("room %d is to be defined: at most %d inside, %d a minute", r.Object, b.Cap, b.PerMinute)
	case *wire.SetRoom:
		return fmt.Sprintf("room %d is to be %s", r.Object, b.State)
	case *wire.SetOutflow:
		return fmt.Sprintf("room %d is to let in %d a minute, at most %d inside", r.Object, b.PerMinute, b.Cap)
	case *wire.Reveal:
		return fmt.Sprintf("room %d: the draw's seed is revealed", r.Object)
	case *wire.Join:
		return fmt.Sprintf("%s joins room %d in the lane %s; it arrived at %s", place, r.Object, b.Lane, when(b.Instant))
	case *wire.Enlist:
		return fmt.Sprintf("%s joins room %d in the lane %s; it arrived at %s", place, r.Object, b.Lane, when(b.Instant))
	case *wire.Ask:
		return fmt.Sprintf("%s asks to be let into room %d", place, r.Object)
	case *wire.Leave:
		return fmt.Sprintf("%s is given up", place)
	case *wire.Left:
		return fmt.Sprintf("room %d: the pass %s was used to book (outcome %d of orders/%d)", r.Object, wire.Hex(b.Pass), b.SourceSeq, b.Source)
	case *wire.Signal:
		return fmt.Sprintf("room %d hears: %s", r.Object, signalWords(b))
	}
	return otherWords(body)
}

func signalWords(s *wire.Signal) string {
	text := "stock unknown"
	if s.Left >= 0 {
		text = fmt.Sprintf("%s left, %d may come back", many(s.Left, "ticket", "tickets"), s.Coming)
	}
	if s.Price >= 0 {
		text += ", from " + money(s.Price, currencyName(s.Currency))
	}
	return text
}

// queueOutcomeWords is the sentence of an outcome of `queue`.
func queueOutcomeWords(o wire.Outcome, body wire.Body) string {
	place := placeName(o.Ref)
	switch b := body.(type) {
	case *wire.RoomDefined:
		return fmt.Sprintf("room %d is defined: at most %d inside, %d a minute", o.Object, b.Room.Cap, b.Room.PerMinute)
	case *wire.RoomSet:
		return fmt.Sprintf("room %d is %s", o.Object, b.State)
	case *wire.OutflowSet:
		return fmt.Sprintf("room %d lets in %d a minute, at most %d inside", o.Object, b.PerMinute, b.Cap)
	case *wire.Revealed:
		return fmt.Sprintf("room %d: the draw is held", o.Object)
	case *wire.Joined:
		if b.Drawn {
			return fmt.Sprintf("%s is recorded in the lane %s; the draw will order it", place, b.Lane)
		}
		return fmt.Sprintf("%s is recorded in the lane %s, %d ahead of it", place, b.Lane, b.Ahead)
	case *wire.PlaceKept:
		return fmt.Sprintf("the visitor keeps %s instead", placeName(b.Token))
	case *wire.TurnedDown:
		return fmt.Sprintf("%s: turned down: %s", place, reasonWords(b.Reason))
	case *wire.InvitedUpTo:
		return fmt.Sprintf("room %d, lane %s: %s invited", o.Object, b.Lane, many(b.Count, "more is", "more are"))
	case *wire.Asked:
		return fmt.Sprintf("%s waits for a slot, %d ahead of it", place, b.Ahead)
	case *wire.SlotGiven:
		return fmt.Sprintf("%s has a slot until %s; %d inside", place, hour(b.Until), b.Inside)
	case *wire.Claimed:
		return fmt.Sprintf("%s is admitted, pass %s until %s; %d inside", place, wire.Hex(b.Pass), hour(b.Expires), b.Inside)
	case *wire.PassReturned:
		return fmt.Sprintf("%s gets the same pass %s again", place, wire.Hex(b.Pass))
	case *wire.SlotLapsed:
		return fmt.Sprintf("%s did not take its slot; %d inside", place, b.Inside)
	case *wire.Missed:
		return fmt.Sprintf("%s missed its turn", place)
	case *wire.LeftQueue:
		return fmt.Sprintf("%s left", place)
	case *wire.SlotFreed:
		why := "has expired"
		if b.Used {
			why = "was used"
		}
		return fmt.Sprintf("the pass %s %s: its slot is free; %d inside", wire.Hex(b.Pass), why, b.Inside)
	case *wire.Signalled:
		return fmt.Sprintf("room %d knows: %s", o.Object, signalWords(&b.Signal))
	}
	return otherWords(body)
}
