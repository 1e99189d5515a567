package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

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
func quietAddress(t testing.TB) string {
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
		c.killed++
		down := time.Duration(0)
		if rnd.IntN(downOneIn) == 0 {
			down = downLeast + time.Duration(rnd.Int64N(int64(downMost-downLeast)))
		}
		c.killAndStart(down)
	}
	c.recover(true)
}

// killAndStart kills the stack, leaves it down and starts it again.
func (c *child) killAndStart(down time.Duration) {
	c.t.Helper()
	c.end(syscall.SIGKILL)
	c.t.Logf("killed after %v, down for %v", time.Since(c.began).Round(time.Millisecond), down.Round(time.Millisecond))
	fmt.Fprintf(c.log, "--- killed at %s\n", time.Now().UTC().Format(time.RFC3339Nano))
	c.down += down
	time.Sleep(down)
	c.start()
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
