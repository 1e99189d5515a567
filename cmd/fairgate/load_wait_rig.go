package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairgate/deploy"
	"fairgate/internal/conf"
	"fairgate/internal/crowd/waiting"
	"fairgate/internal/embedded"
	"fairgate/internal/wire"
	"fairgate/waitingroom"
	"fairgate/waitingroom/token"
)

const (
	// waitStage sizes the sale that people wait for: it is never sold to anybody.
	waitStage = 2000
	// waitJoinLife is how long a join may take to the log.
	waitJoinLife = time.Minute
	waitJoins    = 1000 // in one batch
	// waitPlaces is how many of the people ask where exactly they stand, by their tokens.
	waitPlaces    = 100
	waitStart     = 90 * time.Second
	waitStop      = 40 * time.Second
	waitJoined    = 3 * time.Minute
	waitUserAgent = "Mozilla/5.0 (compatible; FairgateCrowd/1.0)"
)

// waitRig is an installation of real processes with a CDN before it, and the people who wait there.
type waitRig struct {
	dir    string
	binary string
	own    *assembly
	keys   *token.Keys
	whole  *waitChild // everything, with the queue machine
	edge   *waitChild // the origin: an edge alone
	cdn    *embedded.Nginx
	url    string // of the CDN
	places []waiting.Place
	remove func()
}

// waitChild is a process of the rig.
type waitChild struct {
	name string
	cmd  *exec.Cmd
	ops  string
	log  string
	gone chan struct{}
}

func openWaitRig(ctx context.Context, binary string, log *slog.Logger) (r *waitRig, err error) {
	if _, err := embedded.FindNginx(); err != nil {
		return nil, err
	}
	r = &waitRig{binary: binary}
	if r.dir, r.remove, err = scratch(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	var at [7]string
	for i := range at {
		if at[i], err = freeAddress(); err != nil {
			return r, err
		}
	}
	data := filepath.Join(r.dir, "data")
	if r.whole, err = r.start(ctx, "whole", at[0], "demo", "--stage", strconv.Itoa(waitStage), "--crowd", "0", "--data", data,
		"--http", at[1], "--admin", at[2], "--pay", at[3], "--ops", at[0]); err != nil {
		return r, err
	}
	config := filepath.Join(data, demoConfig)
	if r.edge, err = r.start(ctx, "edge", at[4], "waitingroom", "--config", config, "--set", "http.address="+at[5], "--set", "ops.address="+at[4],
		"--set", "scaler.rulesFile=", "--set", "waitingroom.roomRefresh=500ms"); err != nil {
		return r, err
	}
	if err = r.openCDN(at[5], at[6]); err != nil {
		return r, err
	}
	return r, r.openOwn(ctx, config, log)
}

// openCDN puts nginx before the edge, by the configuration that we ship.
func (r *waitRig) openCDN(edge, at string) error {
	b, err := deploy.Files.ReadFile(deploy.CDNFile)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.dir, "cdn")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	text := string(b)
	for from, to := range map[string]string{
		"server 127.0.0.1:8080;": "server " + edge + ";", "listen 127.0.0.1:8090;": "listen " + at + ";",
		"/var/cache/nginx/fairgate": filepath.Join(dir, "cache"),
	} {
		if strings.Count(text, from) != 1 {
			return fmt.Errorf("%s does not have %q once", deploy.CDNFile, from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	r.url = "http://" + at
	r.cdn, err = embedded.StartNginx(dir, at, "", text)
	return err
}

// openOwn opens what this process needs itself: the log, and the keys of places.
func (r *waitRig) openOwn(ctx context.Context, config string, log *slog.Logger) error {
	var cfg Config
	if err := conf.Load(&cfg, conf.Source{File: config, Overrides: map[string]string{"scaler.rulesFile": ""}}); err != nil {
		return err
	}
	keys, err := token.ParseKeys(cfg.Keys.Places.Reveal())
	if err != nil {
		return err
	}
	if r.keys, err = token.NewKeys(keys); err != nil {
		return err
	}
	if r.own, err = assemble(ctx, cfg, "load"); err != nil {
		return err
	}
	r.own.log = log
	return settle(ctx, waitStart, func(ctx context.Context) (bool, error) {
		d, err := r.document(ctx)
		return err == nil && d.State == wire.RoomOpen.String(), nil
	})
}

// start starts a process and waits until it is ready.
func (r *waitRig) start(ctx context.Context, name, ops string, args ...string) (*waitChild, error) {
	c := &waitChild{name: name, ops: ops, log: filepath.Join(r.dir, name+".log"), gone: make(chan struct{})}
	log, err := os.Create(c.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd = exec.Command(r.binary, args...)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		defer close(c.gone)
		_ = c.cmd.Wait() // ProcessState tells
	}()
	err = settle(ctx, waitStart, func(ctx context.Context) (bool, error) {
		select {
		case <-c.gone:
			return false, errors.New("it ended at once")
		default:
		}
		_, err := get(ctx, "http://"+ops+"/readyz", nil)
		return err == nil, nil
	})
	if err != nil {
		said, _ := os.ReadFile(c.log)
		return c, fmt.Errorf("%s is not ready: %w\n%s", name, err, said[max(len(said)-4096, 0):])
	}
	return c, nil
}

// stop ends a process in order.
func (c *waitChild) stop() error {
	if c == nil {
		return nil
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	select {
	case <-c.gone:
	case <-time.After(waitStop):
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.gone
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		said, _ := os.ReadFile(c.log)
		return fmt.Errorf("%s ended with %v\n%s", c.name, c.cmd.ProcessState, said[max(len(said)-4096, 0):])
	}
	return nil
}

func (r *waitRig) close() error {
	var errs []error
	if r.own != nil {
		r.own.close()
	}
	if r.cdn != nil {
		errs = append(errs, r.cdn.Close())
	}
	errs = append(errs, r.edge.stop(), r.whole.stop())
	r.remove()
	return errors.Join(errs...)
}

// join brings people into the line until there are n: what an edge appends for a solved challenge goes into the log, and
// each keeps the token that the edge would have given. The edge's own work for a join has benchmarks of its own.
func (r *waitRig) join(ctx context.Context, n int) error {
	for len(r.places) < n {
		values := make([][]byte, 0, waitJoins)
		for range min(waitJoins, n-len(r.places)) {
			place, value, err := r.person()
			if err != nil {
				return err
			}
			r.places, values = append(r.places, place), append(values, value)
		}
		if _, err := r.own.events.AppendBatch(ctx, r.own.topic(wire.TopicQueue), 0, values); err != nil {
			return err
		}
	}
	return settle(ctx, waitJoined, func(ctx context.Context) (bool, error) {
		d, err := r.document(ctx)
		return err == nil && int(d.Joined) >= n, nil
	})
}

// person is one more in line, behind everybody else.
func (r *waitRig) person() (p waiting.Place, value []byte, err error) {
	var random [64]byte
	if _, err := rand.Read(random[:]); err != nil {
		return p, nil, err
	}
	p.Secret = [16]byte(random[:16])
	now := time.Now().UnixMicro()
	ch := wire.Challenge{Place: wire.Place{
		Room: rehearsalRoom, Instant: now, Edge: 1, Visitor: token.VisitorHash(p.Secret),
		Narrow: binary.LittleEndian.Uint64(random[16:]), Wide: binary.LittleEndian.Uint64(random[24:]), Random: wire.ID(random[32:48]),
	}}
	if len(r.places) > 0 {
		ch.Instant = max(now, int64(r.places[len(r.places)-1].Key.Key)+1)
	}
	minted, err := r.keys.TokenFor(&ch)
	if err != nil {
		return p, nil, err
	}
	p.Token = [wire.TokenSize]byte(minted)
	id, body := token.Join(&ch)
	p.Key = wire.OrderKey{Class: 1, Key: uint64(ch.Instant), Token: id}
	value = wire.AppendRecord(nil, wire.Record{
		Object: rehearsalRoom, Ref: id, Command: wire.ID(random[48:]), NotAfter: now + waitJoinLife.Microseconds(),
	}, &body)
	return p, value, nil
}

// wait lets everybody wait for a while.
func (r *waitRig) wait(ctx context.Context, c waiting.Config) (step waitStep, err error) {
	c.URL, c.Room = r.url, rehearsalRoom
	var before, after map[string]float64
	var began time.Time
	var seconds float64 // between the two looks at the edge
	step.Report, err = waiting.Run(ctx, c, r.places, func(begins bool) error {
		m, err := r.edge.metrics(ctx)
		if begins {
			before, began = m, time.Now()
		}
		after, seconds = m, time.Since(began).Seconds()
		return err
	})
	if err != nil {
		return step, err
	}
	whole, err := r.whole.metrics(ctx)
	if err != nil {
		return step, err
	}
	step.Origin = (after["requests"] - before["requests"]) / seconds
	step.EdgeCPU = (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]) / seconds
	step.Edge, step.Processor = int64(after["process_resident_memory_bytes"]), int64(whole["process_resident_memory_bytes"])
	if step.CDN, err = residentOf(r.cdn.Pid()); err != nil {
		return step, err
	}
	step.Places, err = r.askPlaces(ctx)
	return step, err
}

// metrics reads what is wanted of a process's metrics: single values by name, and the number of requests answered.
func (c *waitChild) metrics(ctx context.Context) (map[string]float64, error) {
	b, err := get(ctx, "http://"+c.ops+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	m := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		at := strings.LastIndexByte(lines.Text(), ' ') // names have spaces in their labels
		if at < 0 {
			continue
		}
		name := lines.Text()[:at]
		n, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			continue
		}
		if strings.HasPrefix(name, "fairgate_http_request_seconds_count{") {
			name = "requests"
		}
		m[name] += n
	}
	if m["process_resident_memory_bytes"] == 0 || c.name == "edge" && m["requests"] == 0 {
		return nil, fmt.Errorf("%s does not say what it uses and how many requests it answered", c.name)
	}
	return m, nil
}

// residentOf is the resident memory of a process group.
func residentOf(group int) (bytes int64, err error) {
	folders, err := filepath.Glob("/proc/[0-9]*/statm")
	if err != nil {
		return 0, err
	}
	for _, path := range folders {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if g, err := syscall.Getpgid(pid); err != nil || g != group {
			continue
		}
		b, err := os.ReadFile(path)
		if fields := strings.Fields(string(b)); err == nil && len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			bytes += pages * int64(os.Getpagesize())
		}
	}
	return bytes, nil
}

// document is the room's newest, from the edge by way of the CDN.
func (r *waitRig) document(ctx context.Context) (d wire.QueueDocument, err error) {
	b, err := get(ctx, fmt.Sprintf("%s/rooms/%d/queue", r.url, rehearsalRoom), nil)
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	return d, err
}

// askPlaces has some of the people ask where exactly they stand, by their tokens, and compares the answers with the truth.
func (r *waitRig) askPlaces(ctx context.Context) (asked int, err error) {
	for i := len(r.places) / waitPlaces / 2; i < len(r.places); i += max(len(r.places)/waitPlaces, 1) {
		p := &r.places[i]
		b, err := get(ctx, fmt.Sprintf("%s/rooms/%d/place", r.url, rehearsalRoom), http.Header{
			waitingroom.HeaderToken:   {base64.RawURLEncoding.EncodeToString(p.Token[:])},
			waitingroom.HeaderVisitor: {base64.RawURLEncoding.EncodeToString(p.Secret[:])},
		})
		if err != nil {
			return asked, fmt.Errorf("place %d: %w", i, err)
		}
		var is struct {
			OrderKey  string `json:"orderKey"`
			Low, High int
		}
		if err := json.Unmarshal(b, &is); err != nil {
			return asked, err
		}
		// Nobody stands before the first; people only go from the front.
		if is.OrderKey != p.Key.String() || is.Low > is.High || is.Low > i {
			return asked, fmt.Errorf("%w: place %d was told %s", errWaitWrong, i, b)
		}
		asked++
	}
	return asked, nil
}

// get reads an address that must answer 200.
func get(ctx context.Context, url string, with http.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range with {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", waitUserAgent)
	req.Header.Set("Accept", "application/json, */*;q=0.5")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(http.MaxBytesReader(nil, answer.Body, 4<<20)); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d: %.200s", url, answer.StatusCode, b.String())
	}
	return b.Bytes(), nil
}
