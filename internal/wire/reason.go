package wire

// Reason says why a command had no effect. The numbers are part of the format; the names go into answers.
type Reason uint8

// Reasons of both logs.
const (
	ReasonNone            Reason = 0
	ReasonUndecodable     Reason = 1  // the bytes are not a record
	ReasonUnknownKind     Reason = 2  // a record of a kind this behaviour does not know
	ReasonStaleEpoch      Reason = 3  // a tick or epoch of a term that is not the current one
	ReasonExpired         Reason = 4  // arrived after its not-after
	ReasonMoved           Reason = 5  // the object changed since the operator looked
	ReasonUnknownObject   Reason = 6  // no such event or room
	ReasonUnknownType     Reason = 7  // no such ticket type
	ReasonUnknownRef      Reason = 8  // no such booking or place
	ReasonInvalid         Reason = 9  // a value out of its range
	ReasonFull            Reason = 10 // a named limit of the machine is reached
	ReasonExists          Reason = 11 // already defined, with other values
	ReasonNotYours        Reason = 12 // the booking or place belongs to somebody else
	ReasonWrongState      Reason = 13 // not possible in the state it is in
	ReasonSoldOut         Reason = 20
	ReasonUserLimit       Reason = 21 // the user holds or bought as many as allowed
	ReasonNotSelling      Reason = 22
	ReasonEventCancelled  Reason = 23
	ReasonPassUsed        Reason = 24 // the admission pass already bought for somebody
	ReasonPassMissing     Reason = 25
	ReasonAmount          Reason = 26 // not the booking's total or currency
	ReasonLapsed          Reason = 27 // the hold lapsed and cannot be granted again
	ReasonNewer           Reason = 28 // the user holds or bought something newer
	ReasonSecond          Reason = 29 // another attempt already paid for the booking
	ReasonCapacityInUse   Reason = 30
	ReasonCancelledByUser Reason = 31
	ReasonCancelledByShop Reason = 32
	ReasonCaptureFailed   Reason = 33
	ReasonMethodLimit     Reason = 34 // the payment method paid for as many bookings of the event as allowed
	ReasonTooLate         Reason = 40 // joined later than the allowance after the instant
	ReasonClosed          Reason = 41 // the room is not taking that now
	ReasonNotInvited      Reason = 42
	ReasonGone            Reason = 43 // the place was used, left, or missed its turn for good
	ReasonFuture          Reason = 44 // the instant lies ahead of log time by more than the bound
	ReasonNetworkFull     Reason = 45 // the network has as many places as waiting without work gives
)

var reasonNames = [...]string{
	ReasonNone: "none", ReasonUndecodable: "undecodable", ReasonUnknownKind: "unknown-kind",
	ReasonStaleEpoch: "stale-epoch", ReasonExpired: "expired", ReasonMoved: "moved",
	ReasonUnknownObject: "unknown-object", ReasonUnknownType: "unknown-ticket-type", ReasonUnknownRef: "unknown-ref",
	ReasonInvalid: "invalid", ReasonFull: "full", ReasonExists: "exists", ReasonNotYours: "not-yours",
	ReasonWrongState: "wrong-state", ReasonSoldOut: "sold-out", ReasonUserLimit: "user-limit",
	ReasonNotSelling: "not-selling", ReasonEventCancelled: "event-cancelled", ReasonPassUsed: "pass-used",
	ReasonPassMissing: "pass-missing", ReasonAmount: "wrong-amount", ReasonLapsed: "lapsed", ReasonNewer: "newer-booking",
	ReasonSecond: "already-paid", ReasonCapacityInUse: "capacity-in-use", ReasonCancelledByUser: "cancelled-by-user",
	ReasonCancelledByShop: "cancelled-by-organiser", ReasonCaptureFailed: "capture-failed", ReasonMethodLimit: "method-limit",
	ReasonTooLate: "too-late",
	ReasonClosed:  "closed", ReasonNotInvited: "not-invited", ReasonGone: "gone", ReasonFuture: "future",
	ReasonNetworkFull: "network-full",
}

// String is the reason's name in answers and logs.
func (r Reason) String() string {
	if int(r) < len(reasonNames) && reasonNames[r] != "" {
		return reasonNames[r]
	}
	return "unknown"
}
