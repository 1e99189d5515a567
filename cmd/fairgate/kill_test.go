package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairgate/internal/crowd"
	"fairgate/internal/embedded"
	"fairgate/internal/run"
)

const (
	// killEnv is how many times the stack is killed; more kills bring more fans.
	killEnv = "FAIRGATE_TEST_KILL"
	// killSeedEnv repeats the moments of an earlier run.
	killSeedEnv  = "FAIRGATE_TEST_KILL_SEED"
	defaultKills = 5
	fansPerKill  = 30
	// childReady bounds one start of the stack, childStop its orderly end.
	childReady = 90 * time.Second
	childStop  = 40 * time.Second
)

// The moments of the kills: so long after the stack was ready again, or, one in earlyOneIn, so long after its start, ready
// or not. One in downOneIn stays down for a while, so that log time has an outage.
const (
	killAfterLeast = 500 * time.Millisecond
	killAfterMost  = 3 * time.Second
	earlyOneIn     = 5
	earlyMost      = 600 * time.Millisecond
	downOneIn      = 4
	downLeast      = 2 * time.Second
	downMost       = 5 * time.Second
	// arrivalsPerKill is shorter than the mean time between two kills, so that they fall into every phase of the sale.
	arrivalsPerKill = 2 * time.Second
)

// TestKill_NothingAcknowledgedIsLost kills the whole stack at random moments of a sale. The fans live here, in a process
// of their own; at the end their journal is held against the logs, Postgres and the provider.
func TestKill_NothingAcknowledgedIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a whole stack")
	}
	if _, err := embedded.FindPostgres(); err != nil {
		t.Skip(err)
	}
	kills := numberFrom(t, killEnv, defaultKills)
	seed := uint64(numberFrom(t, killSeedEnv, time.Now().UnixNano()))
	r := newRehearsal(int(max(kills, 1)) * fansPerKill)
	c := newChild(t, r)
	t.Logf("%d kills, %d fans, %d tickets; %s=%d repeats the moments", kills, r.Fans, r.Tickets, killSeedEnv, seed)
	c.start()
	c.awaitReady()
	c.awaitRoom()

	journalPath := filepath.Join(t.TempDir(), "journal.jsonl")
	fans := startFans(t, r, c.options, kills, journalPath)
	c.killAtRandom(rand.New(rand.NewPCG(seed, 0)), kills)
	report := fans.wait(t)
	t.Logf("the fans:\n%s", report.Text())
	c.stop()

	judged := judgeStage(t, r, c.options, report, journalPath)
	entries, err := crowd.ReadJournalFile(journalPath)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(c.recovered)
	t.Logf("%d kills (%d during start-up), %v left down; %d acknowledgements; ready again within %v (median %v)", c.killed, c.early,
		c.down.Round(time.Millisecond), len(entries), slices.Max(c.recovered), c.recovered[len(c.recovered)/2])
	if judged.Violations > 0 {
		t.Errorf("%d violations:\n%s", judged.Violations, strings.Join(judged.First, "\n"))
	}
	if n := report.Counts[crowd.Failed] + report.Counts[crowd.Unfinished]; n > 0 {
		t.Errorf("%d fans failed or did not finish: %v", n, report.Failures)
	}
	if report.Counts[crowd.Paid] == 0 {
		t.Error("nobody paid: the test proves nothing")
	}
	if t.Failed() {
		t.Logf("the stack said last:\n%s", c.said())
	}
}

func numberFrom(t *testing.T, env string, otherwise int64) int64 {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s: expected a positive number", env)
	}
	return n
}

// fans are the crowd while it runs.
type fans struct {
	done   chan struct{}
	report crowd.Report
	err    error
}

// startFans sends the fans at an even pace.
func startFans(t *testing.T, r rehearsal, o stackOptions, kills int64, journalPath string) *fans {
	t.Helper()
	journal, err := crowd.OpenJournal(journalPath)
	if err != nil {
		t.Fatal(err)
	}
	cfg := r.crowd("http://"+o.shop, "http://"+o.pay, 1)
	cfg.Rate = float64(r.Fans) / (time.Duration(kills) * arrivalsPerKill).Seconds()
	cfg.Deadline = 3*time.Minute + time.Duration(kills)*downMost
	ctx, cancel := context.WithCancel(context.Background())
	f := &fans{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.report, f.err = crowd.Run(ctx, cfg, crowd.Deps{
			Solve: solve, Journal: journal, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Progress: crowd.Printer(t.Output(), false),
		})
		f.err = errors.Join(f.err, journal.Close())
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

func (f *fans) wait(t *testing.T) crowd.Report {
	t.Helper()
	<-f.done
	if f.err != nil {
		t.Fatal(f.err)
	}
	return f.report
}

// judgeStage opens what the child left in this process, lets it come to rest and holds the journal against it.
func judgeStage(t *testing.T, r rehearsal, o stackOptions, report crowd.Report, journalPath string) rehearsalReport {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s, err := openStack(t.Context(), o, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var judged rehearsalReport
	judging := errors.New("it was never judged")
	s.late = append(s.late, run.Part{Name: "judge", MayEnd: true, Run: func(ctx context.Context) error {
		defer end()
		if judging = s.whenReady(ctx); judging != nil {
			return nil
		}
		if judging = s.rest(ctx, time.Minute); judging != nil {
			return nil
		}
		judged, judging = s.judge(ctx, r, report, []string{journalPath})
		return nil
	}})
	if err := errors.Join(s.run(ctx), judging); err != nil {
		t.Fatal(err)
	}
	return judged
}

// child is the stack's process, one after the other over the same folder and ports. It belongs to the test's goroutine.
type child struct {
	t       *testing.T
	binary  string
	fans    int
	options stackOptions
	log     *os.File

	cmd       *exec.Cmd
	gone      chan struct{} // closed when cmd has ended
	began     time.Time
	killed    int
	early     int
	down      time.Duration
	recovered []time.Duration // from a start after a kill until it was ready
}

// newChild builds the program and chooses where it listens and keeps its data.
func newChild(t *testing.T, r rehearsal) *child {
	t.Helper()
	dir := t.TempDir()
	c := &child{t: t, binary: filepath.Join(dir, "fairgate"), fans: r.Fans}
	if out, err := exec.Command("go", "build", "-o", c.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	c.options = stackOptions{dir: filepath.Join(dir, "data"), overlay: r.stageOverlay}
	for _, to := range []*string{&c.options.shop, &c.options.admin, &c.options.pay, &c.options.ops} {
		*to = quietAddress(t)
	}
	var err error
	if c.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.end(syscall.SIGKILL)
		_ = c.log.Close()
	})
	return c
}

// quietAddress finds a free port below those that the kernel gives to outgoing connections: while the stack is down, no
// fan's connection takes it.
func quietAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(20000+rand.IntN(12000)))
		if err == nil {
			defer ln.Close()
			return ln.Addr().String()
		}
	}
	t.Fatal("found no free port")
	return ""
}

// start starts the stack in a process group of its own.
func (c *child) start() {
	c.t.Helper()
	o := c.options
	c.cmd = exec.Command(c.binary, "demo", "--stage", strconv.Itoa(c.fans), "--crowd", "0", "--data", o.dir, "--http", o.shop,
		"--admin", o.admin, "--pay", o.pay, "--ops", o.ops)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.began = time.Now()
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	cmd, gone := c.cmd, make(chan struct{})
	c.gone = gone
	go func() {
		defer close(gone)
		_ = cmd.Wait() // ProcessState tells
	}()
}

// awaitReady waits until the stack wants traffic; a stack that ends by itself fails the test.
func (c *child) awaitReady() {
	c.t.Helper()
	c.await("http://" + c.options.ops + "/readyz")
}

// awaitRoom waits until the sale is set up; only the first of the processes has to.
func (c *child) awaitRoom() {
	c.t.Helper()
	c.await(fmt.Sprintf("http://%s/rooms/%d/queue", c.options.shop, rehearsalRoom))
}

// await waits until an address answers 200.
func (c *child) await(url string) {
	c.t.Helper()
	client := http.Client{Timeout: time.Second}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(childReady); time.Now().Before(deadline); {
		if answer, err := client.Get(url); err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		c.live(20 * time.Millisecond)
	}
	c.t.Fatalf("%s did not answer 200 within %v:\n%s", url, childReady, c.said())
}

// live lets the stack run for a while.
func (c *child) live(d time.Duration) {
	c.t.Helper()
	select {
	case <-c.gone:
		c.t.Fatalf("the stack ended by itself (%v):\n%s", c.cmd.ProcessState, c.said())
	case <-time.After(d):
	}
}

// end sends a signal to the stack's process group and waits until the process is gone.
func (c *child) end(sig syscall.Signal) {
	if c.cmd == nil {
		return
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, sig) // it may be gone
	select {
	case <-c.gone:
	case <-time.After(childStop):
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.gone
	}
}

// killAtRandom kills the stack and starts it again, and returns when it is ready after the last kill.
func (c *child) killAtRandom(rnd *rand.Rand, kills int64) {
	c.t.Helper()
	for n := range kills {
		if n > 0 && rnd.IntN(earlyOneIn) == 0 {
			c.early++
			c.live(time.Duration(rnd.Int64N(int64(earlyMost))))
		} else {
			c.recover(n > 0)
			c.live(killAfterLeast + time.Duration(rnd.Int64N(int64(killAfterMost-killAfterLeast))))
		}
		c.end(syscall.SIGKILL)
		c.killed++
		c.t.Logf("kill %d after %v", c.killed, time.Since(c.began).Round(time.Millisecond))
		fmt.Fprintf(c.log, "--- kill %d at %s\n", c.killed, time.Now().UTC().Format(time.RFC3339Nano))
		if rnd.IntN(downOneIn) == 0 {
			down := downLeast + time.Duration(rnd.Int64N(int64(downMost-downLeast)))
			c.down += down
			time.Sleep(down)
		}
		c.start()
	}
	c.recover(true)
}

func (c *child) recover(measure bool) {
	c.t.Helper()
	c.awaitReady()
	if measure {
		c.t.Logf("ready again after %v", time.Since(c.began).Round(time.Millisecond))
		c.recovered = append(c.recovered, time.Since(c.began).Round(time.Millisecond))
	}
}

// stop ends the stack in order; anything but exit code 0 fails the test.
func (c *child) stop() {
	c.t.Helper()
	began := time.Now()
	c.end(syscall.SIGTERM)
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		c.t.Errorf("stopped after %v with %v:\n%s", time.Since(began), c.cmd.ProcessState, c.said())
	}
	c.cmd = nil
}

// said is the end of what the stack wrote.
func (c *child) said() string {
	const most = 24 << 10
	f, err := os.Open(c.log.Name())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
