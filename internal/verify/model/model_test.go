package model

import (
	"strings"
	"testing"

	"fairgate/internal/wire"
)

// script is a log of orders made by hand, with the outcomes that it must have.
type script struct {
	t     *testing.T
	model *Partition
	out   wire.Outcomes
	chain wire.Hash
	at    int64
	next  int64
}

func newScript(t *testing.T) *script { return &script{t: t, model: NewOrders(0, Limits{})} }

// send checks one record and returns what was found; the outcomes are about the record's own object and ref.
func (s *script) send(r wire.Record, body wire.Body, outcomes ...wire.Body) []Finding {
	s.t.Helper()
	value := wire.AppendRecord(nil, r, body)
	s.chain = wire.NextChain(s.chain, s.next, value)
	for _, b := range outcomes {
		if b, ok := b.(*wire.Ticked); ok {
			s.at, b.Chain = b.Now, s.chain
		}
	}
	r.Kind = body.Kind()
	s.out.Reset()
	s.out.Begin(s.next, s.at, r)
	for _, b := range outcomes {
		s.out.Add(b)
	}
	s.out.End()
	var all [][]byte
	for i := range s.out.Len() {
		all = append(all, append([]byte(nil), s.out.At(i)...))
	}
	s.next++
	return s.model.Check(s.next-1, value, all)
}

func (s *script) must(r wire.Record, body wire.Body, outcomes ...wire.Body) {
	s.t.Helper()
	if found := s.send(r, body, outcomes...); len(found) > 0 {
		s.t.Fatal(found)
	}
}

func (s *script) begin() {
	s.t.Helper()
	s.must(wire.Record{}, &wire.Epoch{Epoch: 1}, &wire.EpochStarted{Epoch: 1})
	s.must(wire.Record{}, &wire.Tick{Epoch: 1, Now: 100 * second}, &wire.Ticked{Epoch: 1, Now: 100 * second})
}

func TestPartition_EpochsAndTicksOfOthersAreStale(t *testing.T) {
	s := newScript(t)
	s.begin()
	s.must(wire.Record{}, &wire.Epoch{Epoch: 1}, &wire.Rejected{Reason: wire.ReasonStaleEpoch})
	s.must(wire.Record{}, &wire.Tick{Epoch: 2, Now: 101 * second}, &wire.Rejected{Reason: wire.ReasonStaleEpoch})
	s.must(wire.Record{}, &wire.Tick{Epoch: 1, Now: 99 * second}, &wire.Rejected{Reason: wire.ReasonStaleEpoch})
	s.must(wire.Record{}, &wire.Epoch{Epoch: 3}, &wire.EpochStarted{Epoch: 3})
	s.must(wire.Record{}, &wire.Tick{Epoch: 3, Now: 110 * second},
		&wire.Extended{Scope: 1, Cause: wire.CauseOutage, By: 10 * second}, &wire.Ticked{Epoch: 3, Now: 110 * second, Outage: 10 * second})
}

func TestPartition_ACommandIsDecidedOnceAndNotAfterItsTime(t *testing.T) {
	s := newScript(t)
	s.begin()
	c := wire.Record{Object: 7, Command: wire.ID{1}, NotAfter: 101 * second}
	s.must(c, &wire.SetSelling{}, &wire.Refused{Reason: wire.ReasonUnknownObject, Command: wire.KindSetSelling})
	s.must(c, &wire.SetSelling{}, &wire.Repeated{FirstKind: wire.KindRefused, FirstOffset: 2, FirstSeq: 3})
	c.Command, c.NotAfter = wire.ID{2}, 99*second
	s.must(c, &wire.SetSelling{}, &wire.Rejected{Reason: wire.ReasonExpired})
	c.Command = wire.ID{1}
	s.must(wire.Record{}, &wire.Tick{Epoch: 1, Now: 102 * second}, &wire.Ticked{Epoch: 1, Now: 102 * second})
	s.must(c, &wire.SetSelling{}, &wire.Rejected{Reason: wire.ReasonExpired})
}

func TestPartition_AHoldLapsesOnceAndItsStockReturns(t *testing.T) {
	s := newScript(t)
	s.begin()
	eur := [3]byte{'E', 'U', 'R'}
	def := wire.DefineEvent{Currency: eur, Hold: second, Offer: second, Grace: second, Frozen: second}
	s.must(wire.Record{Object: 7}, &def, &wire.EventDefined{Event: def})
	kind := wire.DefineType{Type: 1, Capacity: 2, Default: true, Price: wire.Price{Ticket: 999, Fee: 1, TaxRate: 190_000, Included: true}}
	s.must(wire.Record{Object: 7}, &kind, &wire.TypeDefined{Type: kind, Stock: wire.Stock{Type: 1, Capacity: 2, Target: 2, Free: 2}})
	b := wire.Record{Object: 7, Ref: wire.ID{9}}
	user := []byte("somebody")
	held := wire.Reserved{Subject: user, UserKey: userKey(user), Deadline: 101 * second, Expires: 101 * second, Total: 1000, Currency: eur,
		Lines: []wire.HeldLine{{Type: 1, Quantity: 1, Price: kind.Price, Tax: 160, Total: 1000}},
		Stock: []wire.Stock{{Type: 1, Capacity: 2, Target: 2, Held: 1, Free: 1}}}
	s.must(b, &wire.Hold{Subject: user, UserKey: userKey(user)}, &wire.Held{Reserved: held})
	// The outcomes of a tick are about the booking, so this one is about nothing: found, by its object.
	found := s.send(wire.Record{}, &wire.Tick{Epoch: 1, Now: 101 * second}, &wire.Ticked{Epoch: 1, Now: 101 * second},
		&wire.Lapsed{UserKey: userKey(user), Stock: []wire.Stock{{Type: 1, Capacity: 2, Target: 2, Free: 2}}})
	if len(found) != 1 || found[0].Invariant != 2 || !s.model.Diverged() {
		t.Fatal(found)
	}
}

func TestSums_AreCheckedWhateverElseIsKnown(t *testing.T) {
	s := newScript(t)
	s.begin()
	kind := wire.DefineType{Type: 1, Capacity: 2}
	found := s.send(wire.Record{Object: 7}, &kind, &wire.TypeDefined{Type: kind, Stock: wire.Stock{Type: 1, Capacity: 2, Held: 2, Free: 1}})
	if len(found) == 0 || found[0].Invariant != 1 {
		t.Fatal(found)
	}
}

// FuzzPartition_AnyBytesAreSurvived: neither records nor outcomes that nobody honest wrote make the verifier panic.
func FuzzPartition_AnyBytesAreSurvived(f *testing.F) {
	var out wire.Outcomes
	out.Begin(0, 0, wire.Record{})
	out.Add(&wire.InvitedUpTo{Lane: 9})
	out.End()
	f.Add(wire.AppendRecord(nil, wire.Record{Object: 1}, &wire.DefineRoom{}), out.At(0))
	f.Add(wire.AppendRecord(nil, wire.Record{Object: 1}, &wire.Extend{Scope: 1, Cause: 5, By: 1}), []byte{1})
	f.Fuzz(func(t *testing.T, record, outcome []byte) {
		for _, p := range []*Partition{NewOrders(0, Limits{}), NewQueue(0)} {
			for i := range int64(3) {
				p.Check(i, record, [][]byte{outcome})
				p.diverged = false
			}
			p.Check(3, nil, nil)
		}
	})
}

func TestOrders_AUserKeyThatIsNotTheSubjectsIsAViolation(t *testing.T) {
	s := newScript(t)
	s.begin()
	hold := &wire.Hold{Subject: []byte("ann"), UserKey: userKey([]byte("bob"))}
	refused := &wire.Refused{Reason: wire.ReasonUnknownObject, Command: wire.KindHold, UserKey: hold.UserKey}
	found := s.send(wire.Record{Object: 7, Ref: wire.ID{1}}, hold, refused)
	if len(found) != 1 || !strings.Contains(found[0].Explain, "does not belong to the subject") {
		t.Fatal(found)
	}
}
