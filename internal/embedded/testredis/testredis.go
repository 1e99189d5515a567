// Package testredis gives tests a real redis-server, because time, memory and
// failure of the in-process one prove nothing. It starts Debian's binary on a
// loopback port below the test's temporary folder and ends it with the test.
//
// Without the binary it skips the test, or fails it where CI=true.
package testredis

import (
	"context"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Env names a running server, host:port, for Addr to use instead. Its current
// database is flushed.
const Env = "FAIRGATE_TEST_REDIS"

const patience = 10 * time.Second

// Server is one redis-server of one test.
type Server struct {
	t    testing.TB
	addr string
	dir  string
	cmd  *exec.Cmd
}

// Addr returns host:port of an empty server.
func Addr(t testing.TB) string {
	t.Helper()
	if addr := os.Getenv(Env); addr != "" {
		client := redis.NewClient(&redis.Options{Addr: addr})
		defer client.Close()
		if err := client.FlushDB(context.Background()).Err(); err != nil {
			t.Fatalf("%s=%s: %v", Env, addr, err)
		}
		return addr
	}
	return Start(t).Addr()
}

// Start runs a server that the test may kill and start again. It keeps
// nothing on disk.
func Start(t testing.TB) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed: scripts/setup.sh test does it")
		}
		t.Skip("needs redis-server: scripts/setup.sh test installs it")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, addr: ln.Addr().String(), dir: t.TempDir()}
	ln.Close()
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// Addr is host:port, the same over restarts.
func (s *Server) Addr() string { return s.addr }

// Kill ends the server as a crash does; all data is gone. Killing a dead one
// does nothing.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // killed, as asked
	s.cmd = nil
}

// Pause stops the process without closing its connections, until Resume.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("signalling redis-server: %v", err)
	}
}

// Restart kills the server if it runs and starts an empty one on the same
// address.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	_, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", s.dir,
		"--save", "", "--appendonly", "no")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("starting redis-server: %v", err)
	}
	s.cmd = cmd
	client := redis.NewClient(&redis.Options{Addr: s.addr, MaxRetries: -1})
	defer client.Close()
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err := client.Ping(context.Background()).Err()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("redis-server on %s does not answer: %v", s.addr, err)
		}
	}
}
