package outflow

import "errors"

// StateWords is the number of integers a State is made of.
const StateWords = 24

// State is the law's memory of one room. Its zero value is a room that has never been open. It is a plain value: copy
// it, or write its Words into a snapshot.
type State struct {
	last      int64 // instant of the previous Step
	started   int64 // 1 after the first Step
	flowing   int64 // 1 while the previous Step was not paused
	rampStart int64 // instant from which the slow start counts
	rampFrom  int64 // people inside at that instant
	waiting   int64 // Input.Waiting of the previous Step, less those it invited

	tokens    int64 // micros of people who may still be let in by the rate
	tokenRest int64 // sixtieths of a micro not yet in tokens
	show      int64 // share of the invited who come, micros; 0 before the first Step
	young     int64 // micros: the invited of the last while, fading over Config.ShowMicros
	freed     int64 // micros: slots freed in the last while, fading alike

	entered meter // people admitted
	moved   meter // places invited, over a long while
	brisk   meter // places invited, over a short while
	sway    meter // permille by which brisk differs from moved
	left    meter // places that gave up waiting
	invited int64 // places ever invited
	came    int64 // micros: the invited who asked, fading over showWindow
	settled int64 // micros: the invited who asked or ran out, fading alike
}

// ErrState is returned for words that no State has.
var ErrState = errors.New("outflow: state out of range")

// Words returns the state as integers in a fixed order. Equal states have equal words.
func (s *State) Words() [StateWords]int64 {
	return [StateWords]int64{
		s.last, s.started, s.flowing, s.rampStart, s.rampFrom, s.waiting,
		s.tokens, s.tokenRest, s.show, s.young, s.freed,
		s.entered.sum, s.entered.span, s.moved.sum, s.moved.span, s.brisk.sum, s.brisk.span,
		s.sway.sum, s.sway.span, s.left.sum, s.left.span, s.invited, s.came, s.settled,
	}
}

// FromWords is the inverse of Words. It fails with ErrState when a word is out of range.
func FromWords(w [StateWords]int64) (State, error) {
	s := State{
		last: w[0], started: w[1], flowing: w[2], rampStart: w[3], rampFrom: w[4], waiting: w[5],
		tokens: w[6], tokenRest: w[7], show: w[8], young: w[9], freed: w[10],
		entered: meter{w[11], w[12]}, moved: meter{w[13], w[14]}, brisk: meter{w[15], w[16]},
		sway: meter{w[17], w[18]}, left: meter{w[19], w[20]}, invited: w[21], came: w[22], settled: w[23],
	}
	for i, n := range w {
		if n < 0 || (i != 0 && i != 3 && n > maxMicros) {
			return State{}, ErrState
		}
	}
	if s.started > 1 || s.flowing > 1 || s.rampStart > s.last ||
		s.tokenRest >= minuteSeconds || s.show > one || s.came > s.settled {
		return State{}, ErrState
	}
	return s, nil
}

// Invited returns how many places the law has invited since the room first opened.
func (s *State) Invited() int64 { return s.invited }

// ShowPermille returns the share of the invited who come: the configured expectation, corrected by what was measured
// over about the last minutes; 0 before the first Step.
func (s *State) ShowPermille() int64 { return s.show / (one / 1_000) }

// EnteredPerMinute returns the measured outflow, people admitted per minute over about the last minute of open time.
func (s *State) EnteredPerMinute() int64 { return s.entered.perMinute() / one }

// InvitedPerMinute returns the measured pace of the line, places invited per minute over about the last two minutes of
// open time. It is what a place's wait follows from.
func (s *State) InvitedPerMinute() int64 { return s.moved.perMinute() / one }
