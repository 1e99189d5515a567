package spread

import (
	"slices"

	"fairgate/internal/wire"
)

// View is what one processor has seen of all members over time, which is in microseconds on a clock that never jumps. Its
// zero value has seen nobody.
type View struct {
	members []Member
	since   int64 // they lead what they lead since then
	began   bool
}

// See takes what the members said last, at now. While who is there or leads what has just
// changed, others may not have seen it yet: only what stood still for a while is worth a hand-over, and then everybody
// wants the same one.
func (v *View) See(members []Member, now int64) {
	if !v.began || !slices.EqualFunc(members, v.members, sameLeads) {
		v.began, v.since = true, now
	}
	v.members = members
}

// Unsettle has everything stand still anew from now on: a hand-over failed.
func (v *View) Unsettle(now int64) { v.since = now }

// Members are those seen last.
func (v *View) Members() []Member { return v.members }

// Next is what me should hand over now, if anything, once all have stood still for settle.
func (v *View) Next(me wire.ID, now, settle int64) (Step, bool) {
	if !v.began || now-v.since < settle || !Settled(v.members) {
		return Step{}, false
	}
	s, ok := Next(v.members)
	return s, ok && s.From == me
}

func sameLeads(a, b Member) bool { return a.ID == b.ID && slices.Equal(a.Leads, b.Leads) }
