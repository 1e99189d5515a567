package outflow

const (
	// minSpan is how much open time must have been measured before a wait is named.
	minSpan = 60 * second
	// deviationsPermille is how many standard deviations lie between the middle and the tenth percentile.
	deviationsPermille = 1_282
	// minSway is the least permille by which the pace is taken to be uncertain: the future is not the past, and a page
	// multiplies one pace out for everybody, near and far. Chosen so that at least four fans in five enter inside the band
	// that their document promised, from the first minutes of a room on and with up to 60 % of the invited staying away.
	minSway = 300
	// maxWaitSeconds is the longest wait that is named; a longer one is unknown.
	maxWaitSeconds = 24 * 3_600
)

// Band is a wait in whole seconds: one person in ten is invited sooner than Low, one in ten later than High.
type Band struct{ Low, High int64 }

// Wait returns how long a place with so many uninvited places before it should wait to be invited, if the room stays
// open, and false while that is unknown: nothing measured yet, the line standing still, or more than a day.
//
// The line moves by invitations and by people ahead giving up. The band covers chance among those ahead, chance among
// those the pace was measured on, and how unsteady that pace has been.
func (s *State) Wait(before int64) (Band, bool) {
	ahead := clamp(before, 0, maxPeople-1) + 1
	pace := s.moved.perMinute()
	if pace <= 0 || s.moved.span < minSpan {
		return Band{}, false
	}
	if s.waiting > 0 {
		// Of those ahead, the ones who give up do so on average half-way through the wait.
		pace += mulDiv(s.left.perMinute(), min(ahead, s.waiting), 2*s.waiting)
	}
	middle := mulDiv(ahead*one, minuteSeconds*1_000, pace) // milliseconds
	if middle > maxWaitSeconds*1_000 {
		return Band{}, false
	}
	sway := max(minSway, s.sway.mean())
	deviation := root(s.chance(ahead*one) + s.chance(s.moved.sum) + sway*sway) // permille of the middle
	spread := 1_000 + deviation*deviationsPermille/1_000
	return Band{
		Low:  middle / spread,
		High: (middle*spread/1_000 + 999) / 1_000,
	}, true
}

// chance is the variance, in permille squared, of the time so many invited places (in micros) take, as if slots came
// free at random moments (one part in the number that comes) and each of the invited came or not by the toss of a coin
// (that again, times the share that does not).
func (s *State) chance(places int64) int64 {
	coming := max(mulDiv(places, s.show, one), one/10)
	return 1_000_000 * (2*one - s.show) / coming
}
