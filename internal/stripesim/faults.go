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
	// PointExecute is instead of the work: a Status here is saved for the key and replayed to it for 24 hours.
	PointExecute Point = "execute"
	// PointAnswer is after the work is durable: Drop here is a call that succeeded and whose caller never knows.
	PointAnswer Point = "answer"
	// PointCard is the bank's decision on an authorisation; Decline overrides the card's.
	PointCard Point = "card"
	// PointWebhook is one try to deliver one event.
	PointWebhook Point = "webhook"
)

// Call is what a policy may look at to decide. Header is the request's own and must not be changed.
type Call struct {
	Point    Point
	Endpoint string // "POST /v1/payment_intents/{id}/capture"; empty for webhooks
	Object   string // id in the path, or the event's subject
	Event    string // event type, for webhooks
	Attempt  int    // from 1, for webhooks
	Header   http.Header
}

// Fault is what happens at a point. The zero value is nothing.
type Fault struct {
	Delay   time.Duration // before going on
	Status  int           // answer with this status instead (arrive, execute)
	Drop    bool          // cut the connection without an answer; for a webhook: lose this try
	Repeat  int           // deliver this many times more (webhook)
	Decline string        // a decline code instead of the card's outcome (card)
}

// Faults is a policy consulted at every point. It must be quick and safe for concurrent use.
type Faults interface {
	At(Call) Fault
}

// noFaults is the policy of a good day.
type noFaults struct{}

func (noFaults) At(Call) Fault { return Fault{} }
