package chaos

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestProcess_OnlyAnEndThatNobodyAskedForIsTold(t *testing.T) {
	told := make(chan *os.ProcessState, 1)
	script := "echo up; sleep 60"
	p, err := NewProcess(filepath.Join(t.TempDir(), "log"), func() *exec.Cmd { return exec.Command("sh", "-c", script) },
		func(s *os.ProcessState) { told <- s })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if !p.Running() {
			t.Fatal("it does not run")
		}
		if state := p.End(syscall.SIGKILL, time.Minute); state.Success() || p.Running() {
			t.Fatal(state)
		}
	}
	select {
	case s := <-told:
		t.Fatalf("told of an end that was asked for: %v", s)
	default:
	}
	script = "echo bye; exit 3"
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if s := <-told; s.ExitCode() != 3 {
		t.Fatal(s)
	}
	if said := p.Said(4); said != "bye\n" {
		t.Fatalf("%q", said)
	}
}

func TestCampaign_CountsWhatItDidAndStopsAtAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quiet := slog.New(slog.DiscardHandler)
		nap := func(ctx context.Context, rnd *rand.Rand) error {
			pause(ctx, Between(rnd, time.Second, 2*time.Second))
			return nil
		}
		c := &Campaign{Seed: 1, Log: quiet, Lanes: []Lane{
			{Pause: time.Second, Faults: []Fault{{Name: "a", Weight: 3, Do: nap}, {Name: "b", Weight: 1, Do: nap}}},
			{Pause: time.Minute, Faults: []Fault{{Name: "c", Weight: 1, Do: nap}}},
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		kinds, n := c.Counts()
		if n < 100 || !strings.Contains(kinds, "a=") || !strings.Contains(kinds, "b=") || !strings.Contains(kinds, "c=") {
			t.Fatal(kinds, n)
		}
		broken := errors.New("it does not come back")
		c.Lanes = append(c.Lanes, Lane{Pause: time.Second, Faults: []Fault{{Name: "d", Weight: 1,
			Do: func(context.Context, *rand.Rand) error { return broken }}}})
		if err := c.Run(t.Context()); !errors.Is(err, broken) {
			t.Fatal(err)
		}
	})
}
