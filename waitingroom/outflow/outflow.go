// Package outflow decides how many places a waiting room invites at each tick. It is pure: integers in, an integer
// out, no clock, no randomness, no floating point, because it runs inside the deterministic queue machine.
//
// The law aims at a full shop without ever relying on luck. The hard cap is not kept here: the queue machine admits
// nobody unless the number inside is then below the cap. Outflow only decides how far ahead of that door to invite, so
// that a freed slot finds somebody waiting at it although some of those invited never come.
//
// Amounts of people that can be fractional are int64 "micros": one person is 1,000,000. Shares are micros too (one is
// 1,000,000) or, in the configuration, permille. Instants and durations are microseconds.
package outflow

import (
	"errors"
	"strconv"
)

// Defaults that stand for a zero in Config.
const (
	DefaultRatePerMinute  = 600
	DefaultCap            = 1_000
	DefaultMarginPermille = 2_000
	DefaultDoorPermille   = 20
	DefaultShowPermille   = 800
	DefaultShowMicros     = 20_000_000
	DefaultRampMicros     = 30_000_000
	DefaultBurstMicros    = 2_000_000
)

// Limits of Config. They keep every product of the law far from overflow.
const (
	MaxRatePerMinute  = 10_000_000
	MaxCap            = 10_000_000
	MaxPermille       = 100_000
	MaxDurationMicros = 3_600_000_000
)

// NoRamp as Config.RampMicros opens at full rate at once.
const NoRamp = -1

// Unknown as Input.StockLeft or Input.Headroom says that nobody has told us; it limits nothing.
const Unknown = -1

// Config is what an organiser sets for one room. It reaches the machine in a record of the log, never from a file. The
// zero value means the defaults above; there is deliberately no zero that means "stop": that is a pause.
type Config struct {
	// RatePerMinute is how many people should enter per minute. More than that many are invited when some do not come.
	RatePerMinute int64
	// Cap is the greatest number of people inside.
	Cap int64
	// MarginPermille is how many people may be on their way to buying for each 1,000 units of stock left.
	MarginPermille int64
	// DoorPermille is how many people, in permille of Cap, should stand at the door so that a freed slot is taken at
	// once.
	DoorPermille int64
	// ShowPermille is the share of the invited expected to come before anything has been measured.
	ShowPermille int64
	// ShowMicros is about how long an invited person takes to come.
	ShowMicros int64
	// RampMicros is how long the room takes to reach its full rate after opening or a pause; NoRamp for at once.
	RampMicros int64
	// BurstMicros is how much unused rate can be saved up, expressed as time.
	BurstMicros int64
}

// WithDefaults returns the configuration with every zero replaced by its default and every value that Validate would
// refuse moved to the nearest it accepts, so that no record can upset the law. It is idempotent.
func (c Config) WithDefaults() Config {
	sudden := c.RampMicros == NoRamp
	for _, f := range c.fields() {
		*f.value = clamp(*f.value, 0, f.limit)
		if *f.value == 0 {
			*f.value = f.standard
		}
	}
	if sudden {
		c.RampMicros = NoRamp
	}
	return c
}

// Validate reports the first value that is out of range, by name. Zero is always valid.
func (c Config) Validate() error {
	if c.RampMicros == NoRamp {
		c.RampMicros = 0
	}
	for _, f := range c.fields() {
		if *f.value < 0 || *f.value > f.limit {
			return errors.New(f.name + ": expected 0 to " + strconv.FormatInt(f.limit, 10) +
				", got " + strconv.FormatInt(*f.value, 10))
		}
	}
	return nil
}

type field struct {
	name            string
	value           *int64
	standard, limit int64
}

func (c *Config) fields() [8]field {
	return [...]field{
		{"ratePerMinute", &c.RatePerMinute, DefaultRatePerMinute, MaxRatePerMinute},
		{"cap", &c.Cap, DefaultCap, MaxCap},
		{"marginPermille", &c.MarginPermille, DefaultMarginPermille, MaxPermille},
		{"doorPermille", &c.DoorPermille, DefaultDoorPermille, 1_000},
		{"showPermille", &c.ShowPermille, DefaultShowPermille, 1_000},
		{"showMicros", &c.ShowMicros, DefaultShowMicros, MaxDurationMicros},
		{"rampMicros", &c.RampMicros, DefaultRampMicros, MaxDurationMicros},
		{"burstMicros", &c.BurstMicros, DefaultBurstMicros, MaxDurationMicros},
	}
}

// Input is what the queue machine knows at one tick. Counts are people; "since" counts cover the time after the
// previous Step. Negative counts are read as zero.
type Input struct {
	// NowMicros is the tick's room time. A value before the previous one is read as the previous one.
	NowMicros int64
	// Waiting is the number of places not yet invited.
	Waiting int64
	// Pending is the number whose ask is recorded and who have no slot yet: the people at the door.
	Pending int64
	// Due is the number of invited places that have not asked yet, those that never will among them; or Unknown.
	Due int64
	// Inside is the number of slots taken, granted and unclaimed ones included.
	Inside int64
	// StockLeft is the number of units free to sell, or Unknown.
	StockLeft int64
	// Headroom is how much of the configured rate everything behind the room can bear, in permille: 1,000 is no reason
	// to hold back, 0 stops inviting; or Unknown.
	Headroom int64
	// ShowUps is the number of invited places that asked for the first time since.
	ShowUps int64
	// NoShows is the number of invitations that ran out without an ask since.
	NoShows int64
	// Admitted is the number of slots granted since.
	Admitted int64
	// Freed is the number of slots that became free since.
	Freed int64
	// Gone is the number of places that left the line before they were invited since.
	Gone int64
	// Paused stops inviting. A room that is not open is paused.
	Paused bool
}

func (in Input) clean() Input {
	for _, n := range []*int64{
		&in.Waiting, &in.Pending, &in.Inside, &in.ShowUps, &in.NoShows, &in.Admitted, &in.Freed, &in.Gone,
	} {
		*n = clamp(*n, 0, maxPeople)
	}
	in.StockLeft = clamp(in.StockLeft, Unknown, maxPeople)
	in.Due = clamp(in.Due, Unknown, maxPeople)
	in.Headroom = clamp(in.Headroom, Unknown, 1_000)
	return in
}
