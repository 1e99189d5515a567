package outflow

// The law's constants. Changing one changes outcomes, so it needs a version record in the log.
const (
	one           = 1_000_000       // a person or the whole, in micros
	second        = 1_000_000       // in microseconds
	minuteSeconds = 60              // seconds in a minute
	maxPeople     = 1_000_000_000   // more than any count of people
	maxMicros     = maxPeople * one // and that in micros
	maxStep       = 60 * second     // a longer pause between ticks counts as this long
	minShow       = one / 5         // the show-up share is never believed to be lower
	showPrior     = 20              // people that the configured share counts for against measured ones
	showWindow    = 180 * second    // memory of the measured share
	rampFloor     = 100             // permille of the pace at which a slow start begins
	enteredWindow = 60 * second     // memory of the measured outflow
	movedWindow   = 120 * second    // memory of the line's pace
	briskWindow   = 20 * second     // memory of its short-term pace
)

// Step advances the law to one tick and returns how many places to invite now: never negative, never more than
// Waiting, zero while paused or sold out. Those places must then be invited, since the state already counts them.
//
// The number is the least of what four limits allow, each turned from people who should come into people to invite by
// the measured show-up share: the configured rate (a token bucket), downstream headroom (a share of that rate), the
// slots free or about to be, and the stock left times its margin.
func (s *State) Step(c Config, in Input) int64 {
	c, in = c.WithDefaults(), in.clean()
	dt := s.advance(c, in)
	s.observe(c, in, dt)
	pace := s.pace(c)
	s.refill(c, in, pace, dt)
	n := int64(0)
	if !in.Paused {
		n = s.allowed(c, in, pace)
	}
	s.commit(c, in, n, dt)
	return n
}

// advance moves the state's clock, starts a slow start when inviting begins, and returns the time since the last tick.
func (s *State) advance(c Config, in Input) (dt int64) {
	now := max(in.NowMicros, s.last)
	if s.started == 1 {
		dt = min(now-s.last, maxStep)
	}
	s.started, s.last = 1, now
	if in.Paused {
		s.flowing = 0
		return dt
	}
	if s.flowing == 0 {
		s.flowing, s.rampStart, s.rampFrom = 1, now, min(in.Inside, c.Cap)
	}
	return dt
}

// observe takes in what happened since the last tick.
func (s *State) observe(c Config, in Input, dt int64) {
	s.young = fade(s.young, dt, c.ShowMicros)
	s.freed = fade(s.freed, dt, c.ShowMicros) + in.Freed*one
	s.freed = min(s.freed, maxMicros)
	s.came = min(fade(s.came, dt, showWindow)+in.ShowUps*one, maxMicros)
	s.settled = min(fade(s.settled, dt, showWindow)+(in.ShowUps+in.NoShows)*one, maxMicros)
	s.came = min(s.came, s.settled)
	expected := showPrior * c.ShowPermille * (one / 1_000)
	s.show = clamp(mulDiv(expected+s.came, one, showPrior*one+s.settled), minShow, one)
}

// pace is the permille of the configured rate and cap that the slow start allows now.
func (s *State) pace(c Config) (permille int64) {
	since := s.last - s.rampStart
	switch {
	case s.flowing == 0:
		return rampFloor
	case since < c.RampMicros:
		return rampFloor + mulDiv(1_000-rampFloor, since, c.RampMicros)
	}
	return 1_000
}

// refill adds what the rate has earned since the last tick. The remainder is carried, so that over any time the bucket
// earns the rate exactly.
func (s *State) refill(c Config, in Input, pace, dt int64) {
	if in.Headroom != Unknown {
		pace = pace * in.Headroom / 1_000
	}
	earned := c.RatePerMinute*dt*pace/1_000 + s.tokenRest
	s.tokenRest = earned % minuteSeconds
	s.tokens = min(s.tokens+earned/minuteSeconds, bucket(c))
}

// bucket is the most the rate can save up, at least one person so that slow rates move at all.
func bucket(c Config) int64 { return max(one, c.RatePerMinute*c.BurstMicros/minuteSeconds) }

// allowed returns how many to invite.
func (s *State) allowed(c Config, in Input, pace int64) int64 {
	if in.StockLeft == 0 || in.Headroom == 0 {
		return 0
	}
	wanted := min(s.tokens, s.room(c, in, pace))
	if in.StockLeft != Unknown {
		wanted = min(wanted, s.stock(c, in))
	}
	if wanted <= 0 {
		return 0
	}
	return min(wanted/s.show, in.Waiting)
}

// room is how many more people, in micros, should be on their way for all slots to be used: those free now or about to
// be, and a few at the door, less those at the door already and those expected. Slots about to be freed and people
// about to come are both what happened lately, faded over the same time, so when the line flows evenly the two cancel
// and only the free slots and the door remain to be filled, whatever the true delays are.
func (s *State) room(c Config, in Input, pace int64) int64 {
	slots := min(max(1, c.Cap*pace/1_000, s.rampFrom), c.Cap)
	door := max(1, slots*c.DoorPermille/1_000)
	return (slots-in.Inside+door-in.Pending)*one + s.freed - s.expected(c)
}

// stock is how many more people, in micros, may be on their way to the stock left. Unlike the slots, which are freed as
// fast as they fill, the last tickets must not wait for the memory of people who have long come: nobody is expected who
// is not due.
func (s *State) stock(c Config, in Input) int64 {
	buyers := max(one, mulDiv(in.StockLeft*one, c.MarginPermille, 1_000))
	expected := s.expected(c)
	if in.Due != Unknown {
		expected = min(expected, mulDiv(in.Due*one, s.show, one))
	}
	return buyers - (in.Inside+in.Pending)*one - expected
}

// expected is how many of the lately invited should still come, in micros.
func (s *State) expected(c Config) int64 { return mulDiv(s.young, s.show, one) }

// commit counts the invited and takes the measures. Measures stand still while the room is paused: they describe the
// line when it moves.
func (s *State) commit(c Config, in Input, n, dt int64) {
	s.young = min(s.young+n*one, maxMicros)
	s.tokens -= n * s.show
	s.invited = min(s.invited+n, maxMicros)
	s.waiting = in.Waiting - n
	if in.Paused {
		return
	}
	s.entered.add(in.Admitted*one, dt, enteredWindow)
	s.moved.add(n*one, dt, movedWindow)
	s.brisk.add(n*one, dt, briskWindow)
	s.left.add(in.Gone*one, dt, movedWindow)
	if long := s.moved.perMinute(); long > 0 {
		off := s.brisk.perMinute() - long
		s.sway.add(min(mulDiv(max(off, -off), 1_000, long), 1_000)*dt, dt, movedWindow)
	}
}
