// Package schema holds what is sent to the Stripe simulator, and what it answers, against Stripe's own schema: requests
// against stripe-mock, answers against the types of stripe-go. It is support for tests; it may start stripe-mock on a
// free port of loopback and talk to it.
package schema

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// Env names the stripe-mock to use.
	Env = "FAIRGATE_STRIPE_MOCK"
	// patience bounds the start of stripe-mock, which reads a schema of several megabytes first.
	patience = time.Minute
	// maxAnswer is the most of an answer that is read.
	maxAnswer = 1 << 20
)

// ErrNoMock says that stripe-mock is not installed; scripts/setup.sh installs it.
var ErrNoMock = errors.New("stripe-mock is not installed: scripts/setup.sh test")

// Mock is a running stripe-mock.
type Mock struct {
	url  string
	http *http.Client
	stop func()
}

// find looks for stripe-mock: where Env says, in .tools of the tree that the working folder is in, in the PATH.
func find() (string, error) {
	if path := os.Getenv(Env); path != "" {
		return path, nil
	}
	dir, err := os.Getwd()
	for err == nil && dir != filepath.Dir(dir) {
		path := filepath.Join(dir, ".tools", "stripe-mock")
		if _, gone := os.Stat(path); gone == nil {
			return path, nil
		}
		dir = filepath.Dir(dir)
	}
	path, err := exec.LookPath("stripe-mock")
	if err != nil {
		return "", ErrNoMock
	}
	return path, nil
}

// Start runs stripe-mock until Stop. Its error is ErrNoMock where there is none.
func Start() (*Mock, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "-http-addr", "127.0.0.1:", "-https-addr", "127.0.0.1:")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting stripe-mock: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting stripe-mock: %w", err)
	}
	m := &Mock{http: &http.Client{Transport: &http.Transport{}}}
	m.stop = func() {
		m.http.CloseIdleConnections()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed: its status says nothing
	}
	impatient := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	address, err := readAddress(out)
	impatient.Stop()
	if err != nil {
		m.stop()
		return nil, fmt.Errorf("starting stripe-mock: %w", err)
	}
	m.url = "http://" + address
	return m, nil
}

// readAddress waits for the line that says where it listens, and lets the rest flow by.
func readAddress(out io.Reader) (string, error) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "Listening for HTTP at address: "); ok {
			return address, nil
		}
	}
	return "", errors.Join(errors.New("it ended without listening"), lines.Err())
}

// Stop ends it.
func (m *Mock) Stop() { m.stop() }

// Send repeats an exchange's request and returns stripe-mock's answer.
func (m *Mock) Send(ctx context.Context, e Exchange) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, e.Method, m.url+e.Path+"?"+e.Query, strings.NewReader(e.Body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer sk_test_123")
	if e.Method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := m.http.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, answer, err
}

// Check says what of an exchange Stripe would not have done: a request that its schema refuses although the simulator
// took it, and an answer that stripe-go would not know, or would miss something of. An answer without a status was lost
// on the way; then only the request is looked at.
func (m *Mock) Check(ctx context.Context, e Exchange) error {
	status, answer, err := m.Send(ctx, e)
	if err != nil {
		return fmt.Errorf("%s: %w", e, err)
	}
	if status/100 != 2 && status/100 != e.Status/100 {
		return fmt.Errorf("%s: answered %d here, and by stripe-mock %d %s", e, e.Status, status, answer)
	}
	if e.Status/100 != 2 {
		return nil
	}
	problems := Shape(e.Answer)
	if status/100 == 2 {
		problems = append(problems, Missing(e.Answer, answer)...)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%s: %s", e, strings.Join(problems, "; "))
	}
	return nil
}
