package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/eventlog"
	"fairgate/internal/wire"
)

// Tuning is what an operator may turn. The zero value works.
type Tuning struct {
	TickEvery       time.Duration `yaml:"tickEvery" default:"200ms" help:"pause between ticks of log time, at most 250 ms"`
	BoundLimit      time.Duration `yaml:"boundLimit" default:"250ms" help:"error bound of the clock beyond which a leader hands over"`
	LeaseTTL        time.Duration `yaml:"leaseTTL" default:"1500ms" help:"how long a leader that hangs keeps its lease"`
	SnapshotEvery   time.Duration `yaml:"snapshotEvery" default:"1m" help:"age of the newest snapshot at which another one is taken"`
	SnapshotRecords int64         `yaml:"snapshotRecords" default:"1000000" help:"records after the newest snapshot at which another one is taken sooner"`
	MaxBacklog      int           `yaml:"maxBacklog" default:"67108864" help:"bytes of outcomes not yet read back, beyond which a replica waits"`
	DrainWithin     time.Duration `yaml:"drainWithin" default:"3s" help:"how long a leader that stops keeps emitting what it has applied"`
}

// Validate names what cannot work.
func (t Tuning) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	d := t.withDefaults()
	if d.TickEvery < 10*time.Millisecond || d.TickEvery > 250*time.Millisecond {
		bad("tickEvery: must be between 10ms and 250ms, is %s", d.TickEvery)
	}
	if d.BoundLimit < 0 || d.BoundLimit > time.Second {
		bad("boundLimit: must be between 1ms and 1s, is %s", d.BoundLimit)
	}
	if d.LeaseTTL < 500*time.Millisecond || d.LeaseTTL > 10*time.Second {
		bad("leaseTTL: must be between 500ms and 10s, is %s", d.LeaseTTL)
	}
	if d.SnapshotEvery < time.Second || d.SnapshotRecords < 1 {
		bad("snapshotEvery must be at least 1s and snapshotRecords at least 1")
	}
	if d.MaxBacklog < 1<<20 {
		bad("maxBacklog: must be at least %d, is %d", 1<<20, d.MaxBacklog)
	}
	if d.DrainWithin < 0 {
		bad("drainWithin: must not be negative, is %s", d.DrainWithin)
	}
	return errors.Join(errs...)
}

func (t Tuning) withDefaults() Tuning {
	def := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&t.TickEvery, 200*time.Millisecond)
	def(&t.BoundLimit, 250*time.Millisecond)
	def(&t.LeaseTTL, 1500*time.Millisecond)
	def(&t.SnapshotEvery, time.Minute)
	def(&t.DrainWithin, 3*time.Second)
	if t.SnapshotRecords == 0 {
		t.SnapshotRecords = 1_000_000
	}
	if t.MaxBacklog == 0 {
		t.MaxBacklog = 64 << 20
	}
	return t
}

// Config says which partition of which log a Runner runs.
type Config struct {
	Name      string // of lease and snapshots, "orders/0"; Input and Partition if empty
	Input     string // topic
	Outcomes  string // topic
	Documents string // topic; empty for none
	Partition int32
	Address   string // published with the lease: where this replica answers questions when it leads
	Tuning    Tuning
}

// Deps are what a Runner uses. Log and Metrics may be nil; ID defaults to random bits.
type Deps struct {
	Events    *eventlog.Log
	Leases    Leases
	Snapshots Snapshots
	RoomTime  RoomTime
	Machine   func() Machine // a new machine in its first state
	Log       *slog.Logger
	Metrics   prometheus.Registerer
	ID        func() wire.ID
}

// documentsEvery is how often a leader publishes documents.
const documentsEvery = time.Second

func (c Config) rules() Rules {
	r := Rules{
		TickEvery:  c.Tuning.TickEvery.Microseconds(),
		RenewEvery: c.Tuning.LeaseTTL.Microseconds() / 5,
		RetryEvery: 20_000,
		BoundLimit: c.Tuning.BoundLimit.Microseconds(),
		MaxBacklog: c.Tuning.MaxBacklog,
	}
	if c.Documents != "" {
		// A tick comes a little after its time, and the document with it: without the allowance every second tick in a row
		// would be missed.
		r.DocsEvery = (documentsEvery - c.Tuning.TickEvery/2).Microseconds()
	}
	return r
}

func randomID() wire.ID {
	var id wire.ID
	_, _ = rand.Read(id[:]) // never fails
	return id
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
