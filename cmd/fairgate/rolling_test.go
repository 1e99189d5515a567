package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/engine/spread"
	"fairgate/internal/store"
	"fairgate/internal/verify"
)

const (
	rollingOrders = 4 // partitions
	rollingQueue  = 2
	// handedWithin is how long a fan may wait for an answer while a processor stops in order; killedWithin while one is
	// killed, which is told from one that hangs (its lease would last for 1.5 s more).
	handedWithin = 500 * time.Millisecond
	killedWithin = 1200 * time.Millisecond
	// spreadWithin bounds one respreading: of each partition moved, two seconds are waiting for things to stand still.
	spreadWithin = 40 * time.Second
)

// TestRolling_ProcessorsComeAndGoUnderTraffic runs three processors as processes of their own over one broker and a real
// Postgres, and commands on every partition all the time. Nothing acknowledged is lost or answered twice.
func TestRolling_ProcessorsComeAndGoUnderTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	r := newRolling(t)
	a := r.start()
	r.awaitSpread(6)
	r.traffic()
	b := r.start()
	r.awaitSpread(3, 3)
	c := r.start()
	r.awaitSpread(2, 2, 2)
	r.phase("two more have come", handedWithin)

	before := r.leads()
	a.stop()
	r.awaitSpread(3, 3)
	r.phase("one has stopped", handedWithin)
	r.movedOnlyFrom(before)

	d := r.start()
	r.awaitSpread(2, 2, 2)
	r.phase("one has come back", handedWithin)

	r.settle()
	b.kill()
	r.awaitSpread(3, 3)
	r.phase("one was killed", killedWithin)

	r.stopTraffic()
	r.check()
	c.stop()
	d.stop()
}

// leads is what each living processor says it leads; nil unless every partition has exactly one leader.
func (r *rolling) leads() []spread.Member {
	r.t.Helper()
	list, err := r.a.db.Processors(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var members []spread.Member
	led := 0
	for _, p := range list {
		members = append(members, spread.Member(p))
		led += len(p.Leads)
	}
	if led != rollingOrders+rollingQueue || !spread.Settled(members) {
		return nil
	}
	return members
}

// awaitSpread waits until the processors lead so many partitions each, most first, and no log unevenly.
func (r *rolling) awaitSpread(want ...int) {
	r.t.Helper()
	began := time.Now()
	var got []int
	for time.Since(began) < spreadWithin {
		members := r.leads()
		got = got[:0]
		for _, m := range members {
			got = append(got, len(m.Leads))
		}
		slices.Sort(got)
		slices.Reverse(got)
		if slices.Equal(got, want) && spread.Unevenness(members) <= 1 {
			r.t.Logf("they lead %v after %s", got, time.Since(began).Round(time.Millisecond))
			return
		}
		r.alive()
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Fatalf("they lead %v after %s, want %v", got, spreadWithin, want)
}

// settle waits until every candidate has looked at the newest leases: whoever dies before cannot be told from one that
// hangs.
func (r *rolling) settle() { time.Sleep(time.Second) }

// movedOnlyFrom checks that what the others led before is where it was.
func (r *rolling) movedOnlyFrom(before []spread.Member) {
	r.t.Helper()
	for _, now := range r.leads() {
		for _, was := range before {
			if was.ID != now.ID {
				continue
			}
			for _, p := range was.Leads {
				if !slices.Contains(now.Leads, p) {
					r.t.Errorf("%s moved away from a processor that stayed", p)
				}
			}
		}
	}
}

// fewBehind is how many outcomes of ticks may come while a verification reads the logs.
const fewBehind = 200

// check waits until what was sent is projected and verifies the logs and Postgres.
func (r *rolling) check() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	var report verify.Report
	err := settle(ctx, time.Minute, func(ctx context.Context) (bool, error) {
		var err error
		report, err = verify.Run(ctx, r.a.verifyConfig(), verify.Deps{Events: r.a.events, DB: r.a.db.Write})
		return err == nil && (report.Total > 0 || report.Counts["projection.behind"] <= fewBehind), err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	var text strings.Builder
	if report.Total > 0 {
		_ = report.WriteText(&text)
		r.t.Fatalf("%d violations:\n%s", report.Total, text.String())
	}
	r.t.Logf("verified: %v", report.Counts)
}

// assembleRolling opens what the processes use, in this one.
func assembleRolling(t *testing.T, path string, set map[string]string) *assembly {
	t.Helper()
	var cfg Config
	if err := conf.Load(&cfg, conf.Source{File: path, Overrides: set}); err != nil {
		t.Fatal(err)
	}
	a, err := assemble(t.Context(), cfg, "rolling")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	if err := a.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// event makes a free event of many tickets on a partition; its definition is the caller's to send.
func (r *rolling) event(partition int32) store.Event {
	r.t.Helper()
	e, err := show{
		name: fmt.Sprintf("Rolling %d", partition), venue: "Here", city: "Madrid", zone: "Europe/Madrid", currency: "EUR",
		days: 30, hour: 20, length: time.Hour, price: 5000, capacity: 1_000_000,
	}.event(int64(partition)+1, 0, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	e.Types, e.Partition = e.Types[:1], partition
	if _, _, err := r.a.db.CreateEvent(r.t.Context(), e); err != nil {
		r.t.Fatal(err)
	}
	return e
}

// stop ends a processor in order, as an orchestrator does.
func (p *process) stop() {
	p.r.t.Helper()
	began := time.Now()
	p.end(syscall.SIGTERM)
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.r.t.Errorf("a processor ended with %v", p.cmd.ProcessState)
	}
	p.r.t.Logf("stopped within %s", time.Since(began).Round(time.Millisecond))
}

func (p *process) kill() { p.end(syscall.SIGKILL) }
