package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrNoNginx: no nginx is installed.
var ErrNoNginx = errors.New("nginx is not installed: scripts/setup.sh test does it")

const (
	nginxStart = 10 * time.Second
	nginxStop  = 10 * time.Second
	nginxSaid  = 8 << 10 // bytes kept of what it says
)

// FindNginx is the path of nginx; ErrNoNginx if there is none.
func FindNginx() (string, error) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoNginx
}

// Nginx is an nginx that runs as a child of this process, as a cache or a proxy in front of it.
type Nginx struct {
	cmd  *exec.Cmd
	gone chan struct{}
	said tailBuffer
}

// StartNginx runs nginx with the contents of the block http { … }, which must listen on addr, and keeps what it writes
// below dir. events is what stands before it: worker_processes and such, empty for one worker of 4,096 connections.
func StartNginx(dir, addr, events, http string) (*Nginx, error) {
	binary, err := FindNginx()
	if err != nil {
		return nil, err
	}
	if events == "" {
		events = "worker_processes 1;\nevents { worker_connections 4096; }"
	}
	text := "daemon off;\npid nginx.pid;\nerror_log stderr warn;\n" + events + "\nhttp {\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += kind + "_temp_path tmp-" + kind + ";\n"
	}
	text += http + "\n}\n"
	if os.Geteuid() == 0 {
		// Its workers shall reach a folder that only we may.
		text = "user root;\n" + text
	}
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	n := &Nginx{cmd: exec.Command(binary, "-p", dir+"/", "-c", "nginx.conf", "-e", "stderr"), gone: make(chan struct{})}
	n.cmd.Stdout, n.cmd.Stderr = &n.said, &n.said
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting nginx: %w", err)
	}
	go func() {
		defer close(n.gone)
		_ = n.cmd.Wait() // said tells
	}()
	for end := time.Now().Add(nginxStart); time.Now().Before(end); {
		if c, err := net.Dial("tcp", addr); err == nil {
			return n, c.Close()
		}
		select {
		case <-n.gone:
			return nil, fmt.Errorf("nginx ended at once: %s", n.said.text())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("nginx does not listen on %s: %s", addr, n.said.text()), n.Close())
}

// Pid is that of the master process, whose group the workers are in.
func (n *Nginx) Pid() int { return n.cmd.Process.Pid }

// Said is the end of what it said.
func (n *Nginx) Said() string { return n.said.text() }

// Close ends it.
func (n *Nginx) Close() error {
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	select {
	case <-n.gone:
	case <-time.After(nginxStop):
		_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
		<-n.gone
	}
	return nil
}

// tailBuffer keeps the end of what is written to it. It is safe for concurrent use.
type tailBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write keeps the end of p.
func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p)
	if over := t.b.Len() - nginxSaid; over > 0 {
		t.b.Next(over)
	}
	return len(p), nil
}

func (t *tailBuffer) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
