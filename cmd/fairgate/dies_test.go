package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fairgate/internal/crowd"
	"fairgate/internal/wire"
)

const (
	// longestTakeover is how long invitations may pause when the leader dies, on a busy machine; the benchmarks measure.
	longestTakeover = 8 * time.Second
	kafkaAway       = 3 * time.Second
	redisAway       = 3 * time.Second
)

// TestDies_WhateverDiesDuringASaleNobodyLosesAPlaceOrPaysTwice is a sale during which an edge, Redis with all its data, the
// leading processor and all of Kafka die, one after the other. After each the sale goes on at every step, what was
// acknowledged before holds, and at the end the logs, Postgres and the payment provider agree about everything.
func TestDies_WhateverDiesDuringASaleNobodyLosesAPlaceOrPaysTwice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	d := newTown(t, &ownKafka{dir: filepath.Join(t.TempDir(), "kafka"), addr: quietAddress(t)}, "")
	d.open()
	d.flows(time.Now(), everyStep...)
	for _, row := range []struct {
		dies string
		do   func(*town)
	}{
		{"an edge", (*town).edgeDies},
		{"Redis with all its data", (*town).redisDies},
		{"the queue's leader", (*town).leaderDies},
		{"all of Kafka", (*town).kafkaDies},
	} {
		if !t.Run(row.dies, func(t *testing.T) {
			was := d.t
			d.t = t
			defer func() { d.t = was }()
			row.do(d)
		}) {
			return
		}
	}
	d.judged()
}

// TestKafka_AllBrokersDieDuringASale is the last row on three brokers of Apache Kafka, killed at once.
func TestKafka_AllBrokersDieDuringASale(t *testing.T) {
	brokers := openKafka(t)
	d := newTown(t, apacheKafka{brokers}, fmt.Sprintf("dies%d-", time.Now().UnixNano()))
	d.open()
	d.flows(time.Now(), everyStep...)
	d.kafkaDies()
	d.judged()
}

// edgeDies: nobody notices. What the dead edge gave out is good at the other.
func (d *town) edgeDies() {
	p := d.person(d.edges[0])
	p.arrive()
	status, before := p.join()
	if status != http.StatusOK || !before.Recorded {
		d.t.Fatalf("join: %d %+v", status, before)
	}
	harmed := time.Now()
	d.edges[0].End(syscall.SIGKILL, childStop)

	p.edge = d.edges[1]
	if status, again := p.join(); status != http.StatusOK || !again.Recorded || again.Place != before.Place || again.Token != before.Token {
		d.t.Errorf("the same solution at another edge: %d, place %s for %s", status, again.Place, before.Place)
	}
	if status, at := p.place(); status != http.StatusOK || at.OrderKey != before.OrderKey {
		d.t.Errorf("the token at another edge: %d, %s for %s", status, at.OrderKey, before.OrderKey)
	}
	d.flows(harmed, everyStep...)
	if err := d.edges[0].Start(); err != nil {
		d.t.Fatal(err)
	}
	d.awaitReady(d.edges[0].ops)
	p.edge = d.edges[0]
	if status, at := p.place(); status != http.StatusOK || at.OrderKey != before.OrderKey {
		d.t.Errorf("the token at the edge that came back: %d, %s for %s", status, at.OrderKey, before.OrderKey)
	}
}

// redisDies: nobody notices. First its data goes, then the server, then an empty one comes.
func (d *town) redisDies() {
	client := redis.NewClient(&redis.Options{Addr: d.redis.Addr(), MaxRetries: -1})
	defer client.Close()
	keys, err := client.DBSize(d.t.Context()).Result()
	if err != nil || keys == 0 {
		d.t.Fatalf("Redis holds %d keys (%v): to lose them would prove nothing", keys, err)
	}
	harmed := time.Now()
	if err := client.FlushAll(d.t.Context()).Err(); err != nil {
		d.t.Fatal(err)
	}
	d.flows(harmed, everyStep...)
	harmed = time.Now()
	d.redis.Kill()
	// What a fan does needs no Redis. To capture what was authorised does, but a ticket is promised before.
	d.flows(harmed, crowd.EntryPlace, crowd.EntryPass, crowd.EntryHold)
	pauseFor(d.t.Context(), redisAway-time.Since(harmed))
	harmed = time.Now()
	d.redis.Restart()
	d.flows(harmed, everyStep...)
}

// leaderDies: invitations pause for a moment.
func (d *town) leaderDies() {
	for i := range d.processors {
		d.awaitProcessor(i)
	}
	partition := d.topic(wire.TopicQueue) + "/0"
	leader := -1
	d.until("a leader of the queue", childReady, func() bool {
		for i, p := range d.processors {
			if p.Leads(d.t.Context())[partition] {
				leader = i
			}
		}
		return leader >= 0
	})
	before := d.document(d.edges[0])
	harmed := time.Now()
	d.processors[leader].End(syscall.SIGKILL, childStop)
	d.until("a document of another leader", longestTakeover, func() bool { return d.document(d.edges[0]).Epoch > before.Epoch })
	d.t.Logf("the next leader's document came %v after the kill", time.Since(harmed).Round(time.Millisecond))
	d.flows(harmed, everyStep...)
	if err := d.processors[leader].Start(); err != nil {
		d.t.Fatal(err)
	}
	d.awaitProcessor(leader)
}

// kafkaDies: waiting goes on; joining and entering say "try again shortly"; no deadline passes and no place is lost.
func (d *town) kafkaDies() {
	p, late := d.person(d.edges[0]), d.person(d.edges[1])
	p.arrive()
	late.arrive()
	if status, in := p.join(); status != http.StatusOK || !in.Recorded {
		d.t.Fatalf("join: %d %+v", status, in)
	}
	if err := d.kafka.stop(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	away := time.Now()
	status, in := late.join()
	if said := status == http.StatusServiceUnavailable || status == http.StatusOK && !in.Recorded; !said {
		d.t.Errorf("a join without a log was answered %d %+v", status, in)
	}
	if status, kind := p.enter(); status != http.StatusServiceUnavailable && status != http.StatusForbidden {
		d.t.Errorf("an ask without a log was answered %d %s", status, kind)
	}
	for time.Since(away) < kafkaAway {
		for _, e := range d.edges {
			if status, _ := d.get(d.roomAt(e, "/queue")); status != http.StatusOK {
				d.t.Errorf("waiting without a log: %d", status)
			}
		}
		if status, at := p.place(); status != http.StatusOK || at.OrderKey == "" {
			d.t.Errorf("a place without a log: %d", status)
		}
		pauseFor(d.t.Context(), 100*time.Millisecond)
	}
	if err := d.kafka.start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	back := time.Now()
	d.until("the same solution is recorded", flowWithin, func() bool {
		status, again := late.join()
		if in.Place != "" && again.Place != "" && again.Place != in.Place {
			d.t.Fatalf("another place: %s, before %s", again.Place, in.Place)
		}
		return status == http.StatusOK && again.Recorded
	})
	d.flows(back, everyStep...)
}

// document is the newest at an edge.
func (d *town) document(e *townRole) (doc wire.QueueDocument) {
	_, b := d.get(d.roomAt(e, "/queue"))
	_ = json.Unmarshal(b, &doc) // an empty one is older than any
	return doc
}

func (d *town) get(url string) (int, []byte) { return d.call(http.MethodGet, url, nil, nil) }

// call sends a request; status 0 for one that was not answered.
func (d *town) call(method, url string, with http.Header, body any) (int, []byte) {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			d.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(b))
	if err != nil {
		d.t.Fatal(err)
	}
	for name, values := range with {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := d.client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	if b, err = io.ReadAll(answer.Body); err != nil {
		return 0, nil
	}
	return answer.StatusCode, b
}

// visitor is somebody who talks to one edge at a time.
type townVisitor struct {
	d         *town
	edge      *townRole
	secret    string
	challenge string
	solution  string
	token     string
}

type townPlace struct {
	Token, Place, OrderKey string
	Recorded               bool
}

// person is a visitor with an address of its own.
func (d *town) person(e *townRole) *townVisitor { return &townVisitor{d: d, edge: e} }

func (v *townVisitor) headers() http.Header {
	h := http.Header{"X-Forwarded-For": {"198.51.100.7"}}
	if v.secret != "" {
		h.Set("Queue-Visitor", v.secret)
	}
	if v.token != "" {
		h.Set("Queue-Token", v.token)
	}
	return h
}

// arrive gets a challenge and solves it.
func (v *townVisitor) arrive() {
	v.d.t.Helper()
	status, b := v.d.call(http.MethodPost, v.d.roomAt(v.edge, "/arrive"), v.headers(), map[string]string{})
	var in struct {
		Challenge, Visitor string
		Puzzle             struct {
			Algorithm, Seed string
			SubPuzzles      int
			K, Difficulty   uint32
		}
	}
	if err := json.Unmarshal(b, &in); err != nil || status != http.StatusOK || in.Challenge == "" {
		v.d.t.Fatalf("arrive: %d %s", status, b)
	}
	v.secret, v.challenge = in.Visitor, in.Challenge
	raw, err := hex.DecodeString(in.Puzzle.Seed)
	if err != nil || len(raw) != 32 {
		v.d.t.Fatalf("arrive: seed %q", in.Puzzle.Seed)
	}
	var nonces []byte
	for sub := range in.Puzzle.SubPuzzles {
		nonce, err := solve(in.Puzzle.Algorithm, [32]byte(raw), sub, in.Puzzle.K, in.Puzzle.Difficulty)
		if err != nil {
			v.d.t.Fatal(err)
		}
		nonces = append(nonces, nonce...)
	}
	v.solution = base64.RawURLEncoding.EncodeToString(nonces)
}

// join sends the solution, the same each time.
func (v *townVisitor) join() (status int, in townPlace) {
	token := v.token
	v.token = ""
	status, b := v.d.call(http.MethodPost, v.d.roomAt(v.edge, "/join"), v.headers(), map[string]string{"challenge": v.challenge, "solution": v.solution})
	_ = json.Unmarshal(b, &in) // a problem has other members
	if v.token = in.Token; v.token == "" {
		v.token = token
	}
	return status, in
}

func (v *townVisitor) place() (status int, at townPlace) {
	status, b := v.d.call(http.MethodGet, v.d.roomAt(v.edge, "/place"), v.headers(), nil)
	_ = json.Unmarshal(b, &at)
	return status, at
}

func (v *townVisitor) enter() (status int, kind string) {
	status, b := v.d.call(http.MethodPost, v.d.roomAt(v.edge, "/enter"), v.headers(), map[string]string{})
	var p struct {
		Type   string
		Puzzle json.RawMessage
	}
	_ = json.Unmarshal(b, &p)
	if status == http.StatusPreconditionRequired {
		body, err := attendance(p.Puzzle)
		if err != nil {
			return status, err.Error()
		}
		status, b = v.d.call(http.MethodPost, v.d.roomAt(v.edge, "/enter"), v.headers(), json.RawMessage(body))
		_ = json.Unmarshal(b, &p)
	}
	return status, p.Type
}
