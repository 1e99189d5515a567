package verify

import (
	"fmt"
	"strings"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/verify/model"
	"fairgate/internal/wire"
)

// clockLayout writes log time in stories: UTC, to the millisecond.
const clockLayout = "2006-01-02 15:04:05.000"

// when writes an instant of log time.
func when(micros int64) string {
	if micros == 0 {
		return "before the first tick      "
	}
	return time.UnixMicro(micros).UTC().Format(clockLayout) + " UTC"
}

// hour writes an instant within a sentence that began with a date.
func hour(micros int64) string { return time.UnixMicro(micros).UTC().Format("15:04:05") }

// span writes a length of time.
func span(micros int64) string {
	text := (time.Duration(micros) * time.Microsecond).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	return text
}

// reasonWords says why something was not done, or ended.
func reasonWords(r wire.Reason) string {
	switch r {
	case wire.ReasonUndecodable:
		return "these bytes are not a record"
	case wire.ReasonUnknownKind:
		return "a kind of record that is not known"
	case wire.ReasonStaleEpoch:
		return "it is of a term that is over"
	case wire.ReasonExpired:
		return "it came after its time"
	case wire.ReasonMoved:
		return "somebody else changed the event meanwhile"
	case wire.ReasonUnknownObject:
		return "there is no such event or room"
	case wire.ReasonUnknownType:
		return "there is no such ticket type"
	case wire.ReasonUnknownRef:
		return "there is no such booking or place"
	case wire.ReasonInvalid:
		return "a value is out of range"
	case wire.ReasonFull:
		return "a limit of the machine is reached"
	case wire.ReasonExists:
		return "it exists already, otherwise"
	case wire.ReasonNotYours:
		return "it belongs to somebody else"
	case wire.ReasonWrongState:
		return "that is not possible any more"
	case wire.ReasonSoldOut:
		return "there are not enough tickets"
	case wire.ReasonUserLimit:
		return "the fan has as many tickets as one person may have"
	case wire.ReasonNotSelling:
		return "the event is not on sale"
	case wire.ReasonEventCancelled:
		return "the event is cancelled"
	case wire.ReasonPassUsed:
		return "the admission pass has bought for somebody else"
	case wire.ReasonPassMissing:
		return "there is no valid admission pass"
	case wire.ReasonAmount:
		return "the amount is not the booking's"
	case wire.ReasonLapsed:
		return "the time to pay had run out"
	case wire.ReasonNewer:
		return "the fan has something newer"
	case wire.ReasonSecond:
		return "another payment came first"
	case wire.ReasonCancelledByUser:
		return "the fan gave it back"
	case wire.ReasonCancelledByShop:
		return "the organiser took it back"
	case wire.ReasonCaptureFailed:
		return "the money could not be taken"
	case wire.ReasonMethodLimit:
		return "the payment method has paid for as many bookings of the event as one may"
	case wire.ReasonTooLate:
		return "it was recorded too long after the arrival"
	case wire.ReasonClosed:
		return "the room does not take that now"
	case wire.ReasonNotInvited:
		return "it is not this place's turn yet"
	case wire.ReasonGone:
		return "the place was used, given up or missed"
	case wire.ReasonFuture:
		return "the arrival lies in the future"
	}
	return r.String()
}

// subjectName is a user's id for people. It comes from outside, so what does not print is quoted.
func subjectName(b []byte) string {
	if len(b) == 0 {
		return "nobody"
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return fmt.Sprintf("%q", b)
		}
	}
	return string(b)
}

func bookingName(id wire.ID) string { return "booking " + sale.UUID(id).String() }

func placeName(id wire.ID) string { return "place " + wire.Hex(id) }

// many counts things: "1 ticket", "2 tickets".
func many[N int | int64 | uint32](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func currencyName(c [3]byte) string { return strings.TrimRight(string(c[:]), "\x00") }

func money(minor int64, currency string) string {
	if sale.CheckCurrency(currency) != nil {
		return fmt.Sprintf("%d minor units", minor)
	}
	return sale.Money{Minor: minor, Currency: currency}.String() + " " + currency
}

func priceWords(p wire.Price, currency string) string {
	text := money(p.Ticket, currency)
	if p.Fee != 0 {
		text += " + " + money(p.Fee, currency) + " fee"
	}
	if p.TaxRate != 0 {
		word := "plus"
		if p.Included {
			word = "including"
		}
		text += fmt.Sprintf(", %s %s %% tax", word, strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%d.%04d", p.TaxRate/10_000, p.TaxRate%10_000), "0"), "."))
	}
	return text
}

func linesWords(lines []wire.Line) string {
	if len(lines) == 0 {
		return "one ticket"
	}
	parts := make([]string, len(lines))
	for i, l := range lines {
		parts[i] = fmt.Sprintf("%s of type %d", many(int(l.Quantity), "ticket", "tickets"), l.Type)
	}
	return strings.Join(parts, ", ")
}

func heldWords(lines []wire.HeldLine) string {
	asked := make([]wire.Line, len(lines))
	for i, l := range lines {
		asked[i] = wire.Line{Type: l.Type, Quantity: l.Quantity}
	}
	return linesWords(asked)
}

// stockWords writes the numbers after an outcome: "; type 1 now 3 held, 4 sold, 3 free of 10".
func stockWords(all []wire.Stock) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "; type %d now %d held, %d sold, %d free of %d", s.Type, s.Held, s.Sold, s.Free, s.Capacity)
		if s.Target != s.Capacity {
			fmt.Fprintf(&b, " (shrinking to %d)", s.Target)
		}
	}
	return b.String()
}

// causeWords says why deadlines moved.
func causeWords(c wire.Cause) string {
	switch c {
	case wire.CauseOutage:
		return "nothing could be decided for that long"
	case wire.CausePaymentSlot:
		return "waiting for the payment provider"
	case wire.CausePaymentDown:
		return "the payment provider is away"
	case wire.CauseAuthenticate:
		return "the fan's bank asks for more"
	case wire.CauseOperator:
		return "by order of the organiser"
	}
	return fmt.Sprintf("cause %d", c)
}

// kindWords names a kind of record or outcome in a log.
func kindWords(name func(wire.Kind) wire.Body, k wire.Kind) string {
	if b := name(k); b != nil {
		return kindName(b)
	}
	return fmt.Sprintf("kind %d", k)
}

// otherWords is what is said of a body for which there is no sentence: its fields.
func otherWords(b wire.Body) string { return model.Text(b) }
