package embedded

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const parentEnv = "FAIRGATE_EMBEDDED_TEST_PARENT"

// TestPostgres_StartsAfterAKilledInitialisation kills a process while it makes
// the cluster, and starts at once where it was.
func TestPostgres_StartsAfterAKilledInitialisation(t *testing.T) {
	needPostgres(t)
	dir := filepath.Join(t.TempDir(), "pg")
	for range 3 {
		parent := exec.Command(os.Args[0], "-test.run=^TestPostgres_EndsWithAKilledParent$")
		parent.Env = append(os.Environ(), parentEnv+"="+dir)
		if err := parent.Start(); err != nil {
			t.Fatal(err)
		}
		begun := filepath.Join(dir, pgHalfFolder, "base", "1")
		for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(begun); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Error("initdb did not begin")
				break
			}
		}
		if err := parent.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = parent.Wait() // killed, as asked
	}
	p := startPG(t, PostgresConfig{Dir: dir}, supervised)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
}

// TestPostgres_EndsWithAKilledParent runs this test again as the parent.
func TestPostgres_EndsWithAKilledParent(t *testing.T) {
	needPostgres(t)
	if dir := os.Getenv(parentEnv); dir != "" {
		p, err := StartPostgres(context.Background(), PostgresConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\npid %d\n", p.Pid())
		select {}
	}
	dir := filepath.Join(t.TempDir(), "pg")
	parent := exec.Command(os.Args[0], "-test.run=^TestPostgres_EndsWithAKilledParent$")
	parent.Env = append(os.Environ(), parentEnv+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			if _, err := fmt.Sscan(text, &pid); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed, as asked
	if pid == 0 {
		t.Fatal("the parent did not start a server")
	}
	for end := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(stat), ") Z ") {
			break // ended, and nobody reaps it here
		}
		if time.Now().After(end) {
			t.Fatal("the server outlived its parent")
		}
	}
	p := startPG(t, PostgresConfig{Dir: dir}, supervised)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
}
