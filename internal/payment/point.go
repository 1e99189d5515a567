package payment

import "errors"

// Point is a moment between two durable effects. What dies there leaves the first without the second, so every point has
// a test that dies there.
type Point string

// Points, in the order in which a payment passes them.
const (
	PointPlanned Point = "planned" // the attempt's row is there, the provider was not asked
	PointMade    Point = "made"    // the provider made the intent, the row does not know it
	PointLogged  Point = "logged"  // the log has the authorisation, the row does not say so
	PointAsked   Point = "asked"   // an obligation is about to be carried to the provider
	PointDone    Point = "done"    // the provider did what an obligation asked, our rows do not know
	PointFrozen  Point = "frozen"  // the log knows that a capture failed, our rows do not
)

// ErrStopped is what a test's hook returns to end the work at a point as a crash would: nothing is noted after it.
var ErrStopped = errors.New("payment: stopped")

// At is called at every point of a payment's way. It is nil outside tests, which do things there or end the work with
// ErrStopped.
type At func(Point) error

// At passes a point.
func (s *Service) At(p Point) error {
	if s.at == nil {
		return nil
	}
	return s.at(p)
}
