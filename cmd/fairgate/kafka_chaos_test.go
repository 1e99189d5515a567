package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/chaos"
)

const (
	// chaosEnv is how long the campaign does harm; results go to the file that chaosResultsEnv names, if it is set.
	chaosEnv        = "FAIRGATE_TEST_CHAOS"
	chaosResultsEnv = "FAIRGATE_TEST_CHAOS_RESULTS"
	defaultChaos    = 20 * time.Second
	chaosProgress   = 15 * time.Second
	// What a campaign must have done to prove anything: faults a minute, commands a second.
	leastFaults   = 3
	leastCommands = 10
)

// TestKafka_NothingAcknowledgedIsLostOrDecidedTwice kills, freezes and restarts processors, brokers and Postgres at random
// moments, in three lanes at once, while fans buy.
func TestKafka_NothingAcknowledgedIsLostOrDecidedTwice(t *testing.T) {
	length := defaultChaos
	if text := os.Getenv(chaosEnv); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length <= 0 {
			t.Fatalf("%s: expected a duration such as 10m", chaosEnv)
		}
	}
	r := newRig(t, 3, 2, nil)
	campaign := &chaos.Campaign{Lanes: r.lanes(), Seed: r.seed, Log: r.log}
	began := time.Now()
	if err := r.harm(campaign, length); err != nil {
		t.Fatal(err)
	}
	minutes := time.Since(began).Minutes()
	audit, violations := r.judge(t.Context())
	for _, v := range violations {
		t.Error(v)
	}
	kinds, faults := campaign.Counts()
	sent, acked := r.journal.Counts()
	_, longest := r.watch.Decided()
	t.Logf("%d faults (%s); %d sent, %d acknowledged, %d records, %d repeated, %d rejected, %d outages; longest pause %v; %d violations",
		faults, kinds, sent, acked, audit.Records, audit.Repeated, audit.Rejected, audit.Extended, longest.Round(time.Millisecond), len(violations))
	if float64(faults) < minutes*leastFaults || float64(acked) < minutes*60*leastCommands {
		t.Errorf("%d faults and %d commands in %.1f minutes prove too little", faults, acked, minutes)
	}
	writeChaos(t, []string{
		time.Now().UTC().Format(time.DateTime), commit(t), length.String(), kinds, fmt.Sprint(audit.Records), fmt.Sprint(acked),
		longest.Round(time.Millisecond).String(), fmt.Sprint(len(violations)),
	})
}

// harm runs the campaign with fans beside it, and returns when everything works again and the fans have gone.
func (r *rig) harm(campaign *chaos.Campaign, length time.Duration) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), length)
	defer cancel()
	load, stop := context.WithCancel(r.t.Context())
	var beside sync.WaitGroup
	beside.Go(func() { r.fans.Run(load) })
	beside.Go(func() { r.progress(ctx, campaign, length) })
	defer beside.Wait()
	defer stop()
	r.watch.Flowing(true)
	defer r.watch.Flowing(false)
	if err := campaign.Run(ctx); err != nil {
		cancel()
		return err
	}
	if err := r.calm(r.t.Context()); err != nil {
		return err
	}
	pauseFor(r.t.Context(), 2*time.Second)
	return nil
}

// progress says now and then how far the campaign is.
func (r *rig) progress(ctx context.Context, c *chaos.Campaign, length time.Duration) {
	began := time.Now()
	for {
		pauseFor(ctx, chaosProgress)
		if ctx.Err() != nil {
			return
		}
		kinds, faults := c.Counts()
		_, acked := r.journal.Counts()
		decided, longest := r.watch.Decided()
		fmt.Fprintf(os.Stderr, "chaos: %v of %v, %d faults (%s), %d acknowledged, %d decided, longest pause %v\n",
			time.Since(began).Round(time.Second), length, faults, kinds, acked, decided, longest.Round(time.Millisecond))
	}
}

// calm waits until everything works again.
func (r *rig) calm(ctx context.Context) error {
	for i := range r.procs {
		if err := r.awaitReady(ctx, i); err != nil {
			return err
		}
	}
	return settle(ctx, rigReady, func(ctx context.Context) (bool, error) {
		for p := range r.sale.Partitions {
			if r.leader(ctx, p) < 0 {
				return false, nil
			}
		}
		return true, nil
	})
}

// lanes are the three kinds of servers; of each one is hurt at a time, or all of them.
func (r *rig) lanes() []chaos.Lane {
	return []chaos.Lane{
		{Pause: 3 * time.Second, Faults: []chaos.Fault{
			{Name: "processor.kill", Weight: 5, Do: r.killProcessor},
			{Name: "processor.freeze", Weight: 3, Do: r.freezeProcessor},
			{Name: "processor.term", Weight: 3, Do: r.termProcessor},
			{Name: "processor.killAll", Weight: 1, Do: r.killProcessors},
		}},
		{Pause: 8 * time.Second, Faults: []chaos.Fault{
			{Name: "broker.kill", Weight: 4, Do: r.killBroker},
			{Name: "broker.freeze", Weight: 3, Do: r.freezeBroker},
			{Name: "broker.killAll", Weight: 1, Do: r.killBrokers},
		}},
		{Pause: 6 * time.Second, Faults: []chaos.Fault{
			{Name: "postgres.kill", Weight: 3, Do: r.endPostgres(syscall.SIGKILL)},
			{Name: "postgres.immediate", Weight: 1, Do: r.endPostgres(syscall.SIGQUIT)},
			{Name: "postgres.restart", Weight: 1, Do: r.endPostgres(syscall.SIGINT)},
		}},
	}
}

// victim is mostly a processor that leads something.
func (r *rig) victim(ctx context.Context, rnd *rand.Rand) int {
	if rnd.IntN(10) < 7 {
		if i := r.leader(ctx, rnd.IntN(r.sale.Partitions)); i >= 0 {
			return i
		}
	}
	return rnd.IntN(len(r.procs))
}

func (r *rig) killProcessor(ctx context.Context, rnd *rand.Rand) error {
	i := r.victim(ctx, rnd)
	r.end(i, syscall.SIGKILL)
	pauseFor(ctx, chaos.Between(rnd, 0, 2*time.Second))
	if err := r.procs[i].Start(); err != nil || rnd.IntN(3) == 0 {
		return err // the next fault may find it starting
	}
	return r.awaitReady(ctx, i)
}

func (r *rig) freezeProcessor(ctx context.Context, rnd *rand.Rand) error {
	p := r.procs[r.victim(ctx, rnd)]
	p.Note("frozen")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return nil // it is not there: it gave up while it started
	}
	pauseFor(ctx, chaos.Between(rnd, 100*time.Millisecond, 6*time.Second))
	p.Note("awake")
	return p.Signal(syscall.SIGCONT)
}

func (r *rig) termProcessor(ctx context.Context, rnd *rand.Rand) error {
	i := r.victim(ctx, rnd)
	wasReady := r.ready[i].Load()
	if state := r.end(i, syscall.SIGTERM); wasReady && state.ExitCode() != 0 {
		return fmt.Errorf("%s ended with %v:\n%s", r.procs[i].Name, state, r.procs[i].Said(8<<10))
	}
	pauseFor(ctx, chaos.Between(rnd, 0, time.Second))
	if err := r.procs[i].Start(); err != nil {
		return err
	}
	return r.awaitReady(ctx, i)
}

func (r *rig) killProcessors(ctx context.Context, rnd *rand.Rand) error {
	for i := range r.procs {
		r.end(i, syscall.SIGKILL)
	}
	pauseFor(ctx, chaos.Between(rnd, 0, 3*time.Second))
	for i := range r.procs {
		if err := r.procs[i].Start(); err != nil {
			return err
		}
	}
	for i := range r.procs {
		if err := r.awaitReady(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) killBroker(ctx context.Context, rnd *rand.Rand) error {
	if err := r.brokers.Signal(ctx, 1+rnd.IntN(r.brokers.Len()), syscall.SIGKILL); err != nil {
		return err
	}
	pauseFor(ctx, chaos.Between(rnd, 0, 6*time.Second))
	return r.brokers.Start(ctx)
}

func (r *rig) freezeBroker(ctx context.Context, rnd *rand.Rand) error {
	i := 1 + rnd.IntN(r.brokers.Len())
	if err := r.brokers.Signal(ctx, i, syscall.SIGSTOP); err != nil {
		return err
	}
	pauseFor(ctx, chaos.Between(rnd, 200*time.Millisecond, 8*time.Second))
	return r.brokers.Signal(ctx, i, syscall.SIGCONT)
}

func (r *rig) killBrokers(ctx context.Context, rnd *rand.Rand) error {
	for i := range r.brokers.Len() {
		if err := r.brokers.Signal(ctx, i+1, syscall.SIGKILL); err != nil {
			return err
		}
	}
	pauseFor(ctx, chaos.Between(rnd, 0, 2*time.Second))
	return r.brokers.Start(ctx)
}

func (r *rig) endPostgres(sig syscall.Signal) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, rnd *rand.Rand) error {
		if err := r.pg.End(sig); err != nil {
			return err
		}
		pauseFor(ctx, chaos.Between(rnd, 0, 4*time.Second))
		return r.pg.Start(ctx)
	}
}

func commit(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		t.Log(err)
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// chaosHead names the columns of the results file.
const chaosHead = "date\tcommit\tduration\tfaults\trecords\tacknowledged\tlongest pause\tviolations\n"

// writeChaos appends a line to the results file.
func writeChaos(t *testing.T, fields []string) {
	path := os.Getenv(chaosResultsEnv)
	if path == "" {
		return
	}
	appendResult(t, path, chaosHead, strings.Join(fields, "\t")+"\n")
}

// appendResult appends a line to a file of results, which begins with a head.
func appendResult(t testing.TB, path, head, line string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		line = head + line
	}
	if _, err = f.WriteString(line); err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
