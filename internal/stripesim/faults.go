package stripesim

import (
	"net/http"
	"time"
)

// Point is a place where a fault may strike. The points are where Stripe's own failures differ for the caller.
type Point string

const (
	// PointArrive is before anything is looked at: a Status here is saved for no idempotency key.
	PointArrive Point = "arrive"
	// PointExecute is instead of the work: a Status here is saved for the key and replayed to it for 24 hours. With Done
	// the work happens all the same, and its caller is told that it did not.
	PointExecute Point = "execute"
	// PointAnswer is after the work is durable: Drop here is a call that succeeded and whose caller never knows; Early
	// sends the call's webhooks first.
	PointAnswer Point = "answer"
	// PointCard is the bank's decision on an authorisation: Decline, Secure and Expires are its words. Nothing waits here:
	// Delay is when the shopper answers, or when the authorisation lapses.
	PointCard Point = "card"
	// PointCapture is the taking of authorised money. Code makes it fail: charge_expired_for_capture ends the intent, any
	// other leaves it as it is. Dispute and GiveBack happen to the money Delay after it was taken.
	PointCapture Point = "capture"
	// PointRefund is the course of a refund: Refund says which.
	PointRefund Point = "refund"
	// PointWebhook is one try to deliver one event.
	PointWebhook Point = "webhook"
)

// Call is what a policy may look at to decide. Header is the request's own and must not be changed.
type Call struct {
	Point    Point
	Endpoint string // "POST /v1/payment_intents/{id}/capture"; "page" for shoppers; empty for webhooks and the account itself
	Object   string // id in the path, or the event's subject
	Event    string // event type, for webhooks
	Attempt  int    // from 1, for webhooks
	Header   http.Header
}

// Fault is what happens at a point. The zero value is nothing.
type Fault struct {
	Delay    time.Duration // before going on; see the points
	Status   int           // answer with this status instead (arrive, execute)
	Code     string        // the error's code, with Status; at capture alone
	Done     bool          // with Status: do the work all the same (execute)
	Drop     bool          // cut the connection without an answer; for a webhook: lose this try
	Early    bool          // the call's webhooks are tried before its answer leaves (answer)
	Lose     bool          // never deliver this event (webhook)
	Repeat   int           // deliver this many times more (webhook)
	Version  string        // show the event at this API version (webhook)
	Decline  string        // a decline code instead of the card's outcome (card)
	Secure   string        // ask for 3-D Secure, to which the shopper says, after Delay: see Secure… (card)
	Expires  bool          // the authorisation lapses after Delay (card)
	Refund   string        // the refund's course: see Refund… (refund)
	Dispute  string        // reason of a dispute (capture)
	Verdict  string        // how that dispute ends, Delay after it was opened: won, lost, or empty for open (capture)
	GiveBack int64         // refund this many minor units by hand, at most what was taken (capture)
}

// What a shopper does when the bank asks.
const (
	SecureComplete = "complete"
	SecureFail     = "fail"
	SecureAbandon  = "abandon" // nothing at all; the hosted page still can
)

// Courses of a refund. Each begins at once and ends Config.RefundDelay later.
const (
	RefundPending        = "pending"         // pending, then succeeded
	RefundPendingFails   = "pending_failed"  // pending, then failed
	RefundFails          = "failed"          // succeeded, then failed after all
	RefundRequiresAction = "requires_action" // waits for the payee until cancelled
)

// Faults is a policy consulted at every point. It must be quick and safe for concurrent use.
type Faults interface {
	At(Call) Fault
}

// policies asks one policy after the other; the first that has something to say wins.
type policies []Faults

func (all policies) At(c Call) Fault {
	for _, p := range all {
		if f := p.At(c); f != (Fault{}) {
			return f
		}
	}
	return Fault{}
}
