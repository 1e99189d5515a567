package chaos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a child that is started, hurt and started again, one after the other over the same log file. The kernel
// kills it when this process dies. It is safe for concurrent use.
type Process struct {
	command func() *exec.Cmd
	log     *os.File
	ended   func(state *os.ProcessState)

	mu    sync.Mutex
	cmd   *exec.Cmd
	gone  chan struct{} // closed when cmd has ended
	asked bool          // its end was asked for
}

// NewProcess prepares a child. command makes what to start, each time anew; what it says goes to the file logPath.
// ended, which may be nil, hears of every end that nobody asked for.
func NewProcess(logPath string, command func() *exec.Cmd, ended func(*os.ProcessState)) (*Process, error) {
	log, err := os.Create(logPath)
	if err != nil {
		return nil, fmt.Errorf("opening the log of a child: %w", err)
	}
	if ended == nil {
		ended = func(*os.ProcessState) {}
	}
	return &Process{command: command, log: log, ended: ended}, nil
}

// Start starts the child in a process group of its own; it must not be running.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd := p.command()
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, gone := make(chan error, 1), make(chan struct{})
	go func() {
		// The kernel counts the end of the starting thread as ours.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(gone)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // ProcessState tells
			p.over(cmd)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting a child: %w", err)
	}
	p.cmd, p.gone, p.asked = cmd, gone, false
	return nil
}

func (p *Process) over(cmd *exec.Cmd) {
	p.mu.Lock()
	asked := p.asked
	p.mu.Unlock()
	if !asked {
		p.ended(cmd.ProcessState)
	}
}

// Running says whether the child lives; a stopped one does.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// Signal sends sig to the child; one that ends it should be sent by End.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return os.ErrProcessDone
	}
	return p.cmd.Process.Signal(sig)
}

// Kill sends SIGKILL and does not wait; End does.
func (p *Process) Kill() error {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
	return p.Signal(syscall.SIGKILL)
}

// End asks the child to end by sig and waits until it has, if need be by killing it after patience. It returns how the
// child ended; nil if there was none.
func (p *Process) End(sig syscall.Signal, patience time.Duration) *os.ProcessState {
	p.mu.Lock()
	cmd, gone := p.cmd, p.gone
	p.asked = true
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(sig) // it may be gone
	select {
	case <-gone:
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		<-gone
	}
	return cmd.ProcessState
}

// Close kills the child and closes its log.
func (p *Process) Close() error {
	p.End(syscall.SIGKILL, time.Second)
	return p.log.Close()
}

// Said is the end of what the child wrote, at most that many bytes.
func (p *Process) Said(most int64) string {
	f, err := os.Open(p.log.Name())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(f)
	return errorOr(string(text), err)
}

// Note writes a line of ours between those of the child.
func (p *Process) Note(line string) {
	// The log is for people; a line that is missing there does no harm.
	_, _ = fmt.Fprintf(p.log, "--- %s %s\n", time.Now().UTC().Format(time.RFC3339Nano), line)
}

func errorOr(text string, err error) string {
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return text
}
