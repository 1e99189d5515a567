package waitingroom

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"

	"fairgate/internal/answer"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/queue"
	"fairgate/waitingroom/token"
)

// Rooms of the stage.
const (
	hall    = 1 // open
	foyer   = 2 // paused: takes joins, invites nobody
	cellar  = 3 // closed
	blank   = 4 // in the directory, unknown to the log
	nowhere = 5 // nowhere at all
	slow    = 7 // opens later, lets in five a second
	small   = 6 // open, for tests that change it
)

// work is the price of a place on the stage: two sub-puzzles of eight hashes.
var work = token.Price{Algorithm: 1, SubPuzzles: 2, K: 1, Difficulty: 8}

// gate is a guard that lets everybody in, for real work.
type gate struct {
	verdict func(Visit) Verdict
	failed  atomic.Int64
	checked atomic.Int64 // solutions looked at
	issued  atomic.Int64

	presence token.Price           // of entering
	last     atomic.Pointer[Visit] // that was given a challenge
}

func (g *gate) Judge(_ context.Context, v Visit) Verdict {
	if g.verdict != nil {
		return g.verdict(v)
	}
	return Verdict{Allow: true, Status: 200, Price: work}
}
func (g *gate) Failed(Visit)                          { g.failed.Add(1) }
func (g *gate) Algorithm(token.Price) (string, error) { return "sha256", nil }
func (g *gate) Header() string                        { return "X-Forwarded-For" }
func (g *gate) Carrier(netip.Addr) bool               { return false }

func (g *gate) Presence() token.Price { return g.presence }
func (g *gate) Issued(v Visit)        { g.issued.Add(1); g.last.Store(&v) }

func (g *gate) Networks(a netip.Addr) sale.Networks {
	sum := sha256.Sum256([]byte(a.String()))
	return sale.Networks{Narrow: binary.LittleEndian.Uint64(sum[:]), Wide: binary.LittleEndian.Uint64(sum[8:])}
}

// ClientAddress believes everybody: the stage is its own proxy.
func (g *gate) ClientAddress(peer netip.Addr, header string) (netip.Addr, error) {
	if header == "" {
		return peer, nil
	}
	return netip.ParseAddr(header)
}

func (g *gate) Check(seed wire.Hash, p token.Price, solution []byte) error {
	g.checked.Add(1)
	if len(solution) != 8*int(p.SubPuzzles) {
		return errors.New("wrong length")
	}
	for j := range int(p.SubPuzzles) {
		if !hits(seed, j, binary.LittleEndian.Uint64(solution[8*j:]), p.Difficulty) {
			return errors.New("not a solution")
		}
	}
	return nil
}

func hits(seed wire.Hash, sub int, nonce uint64, difficulty uint32) bool {
	b := binary.LittleEndian.AppendUint32(seed[:], uint32(sub))
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(b, nonce))
	return binary.BigEndian.Uint64(sum[:8]) <= math.MaxUint64/uint64(difficulty)
}

func solved(t testing.TB, p puzzleAnswer) string {
	t.Helper()
	seed, err := hex.DecodeString(p.Seed)
	if err != nil || len(seed) != 32 {
		t.Fatalf("seed %q", p.Seed)
	}
	var out []byte
	for j := range int(p.SubPuzzles) {
		nonce := uint64(0)
		for !hits(wire.Hash(seed), j, nonce, p.Difficulty) {
			nonce++
		}
		out = binary.LittleEndian.AppendUint64(out, nonce)
	}
	return token.Text(out)
}

// unsolved is a solution of the right length whose nonces all miss: at so low a price any others might hit by chance.
func unsolved(t testing.TB, p puzzleAnswer) string {
	t.Helper()
	seed, err := hex.DecodeString(p.Seed)
	if err != nil || len(seed) != 32 {
		t.Fatalf("seed %q", p.Seed)
	}
	var out []byte
	for j := range int(p.SubPuzzles) {
		nonce := uint64(0)
		for hits(wire.Hash(seed), j, nonce, p.Difficulty) {
			nonce++
		}
		out = binary.LittleEndian.AppendUint64(out, nonce)
	}
	return token.Text(out)
}

// appender is the log with a switch: what fail returns is what appending does.
type appender struct {
	real Appender
	fail atomic.Pointer[func() (stop bool, err error)]
	last atomic.Pointer[sent]
}

// sent is a record on its way: it begins no try after sentBy.
type sent struct {
	value  []byte
	sentBy time.Time
}

func (a *appender) Append(ctx context.Context, partition int32, value []byte, notAfter time.Time) (int64, error) {
	if f := a.fail.Load(); f != nil {
		if stop, err := (*f)(); stop {
			return 0, err
		}
	}
	return a.real.Append(ctx, partition, value, notAfter)
}

func (a *appender) AppendAsync(partition int32, value []byte, notAfter time.Time, done func(int64, error)) error {
	a.last.Store(&sent{bytes.Clone(value), notAfter})
	if f := a.fail.Load(); f != nil {
		if stop, err := (*f)(); stop {
			if err == nil {
				done(0, nil)
			}
			return err
		}
	}
	return a.real.AppendAsync(partition, value, notAfter, done)
}

func (a *appender) set(f func() (bool, error)) { a.fail.Store(&f) }

type list []Room

func (l list) Rooms(context.Context) ([]Room, error) { return l, nil }

// stage is an edge over a real log with the real queue machine behind it.
type stage struct {
	t      testing.TB
	edge   *Edge
	gate   *gate
	queue  *appender
	keys   *token.Keys
	passes *Passes
	ln     *fasthttputil.InmemoryListener
	router *web.Router
	log    *eventlog.Log
	names  [3]string    // topics: queue, outcomes, documents
	joined atomic.Int64 // Joined outcomes
	people sync.Map     // visitors of those, each of whom has one place at most
	bound  atomic.Int64
}

func (s *stage) now() (int64, int64) { return time.Now().UnixMicro(), s.bound.Load() }

func testKeys(t testing.TB, id uint32) *token.Keys {
	t.Helper()
	k, err := token.NewKeys([]token.Key{{ID: id, Secret: [32]byte{byte(id), 1}}})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t testing.TB, change ...func(*Config, *Deps)) *stage {
	t.Helper()
	if t, ok := t.(*testing.T); ok {
		t.Parallel() // stages share nothing, and mostly wait
	}
	log := testkafka.Log(t)
	names := [3]string{}
	for i, n := range []string{"queue", "queue-outcomes", "queue-documents"} {
		names[i] = testkafka.Topic(t, log, n, 1)
	}
	s := &stage{t: t, log: log, names: names, gate: &gate{}, keys: testKeys(t, 1), ln: fasthttputil.NewInmemoryListener()}
	s.queue = &appender{real: log.Producer(names[0])}
	var err error
	if s.passes, err = NewPasses([]token.Key{{ID: 9, Secret: [32]byte{9}}}); err != nil {
		t.Fatal(err)
	}
	desk := answer.New(answer.Config{Topic: names[1], Partitions: 1}, answer.Deps{Events: log})
	desk.Listen(func(_ int32, o wire.Outcome) {
		var j wire.Joined
		if o.Kind == wire.KindJoined && o.DecodeInto(&j) == nil {
			s.people.Store(j.Visitor, true)
			s.joined.Add(1)
		}
	})
	config := Config{TimedWait: 50 * time.Millisecond, AskWait: 2 * time.Second}
	deps := Deps{
		Keys: s.keys, Passes: s.passes, RoomTime: s.now, Guard: s.gate, Queue: s.queue, Answers: desk,
		Documents: DocumentLog{Events: log, Topic: names[2], Partitions: 1}, Metrics: prometheus.NewRegistry(),
		Rooms: list{
			{ID: hall, Name: "Great Hall", Next: "/events/7"}, {ID: foyer, Name: "Foyer", Next: "/events/8"},
			{ID: slow, Name: "Mùa Hè Festival – Saturday", Next: "/events/7"}, {ID: cellar, Name: "Cellar"}, {ID: blank, Name: "Blank"}, {ID: small, Name: "Small Room", Next: "/events/9"},
		},
	}
	for _, c := range change {
		c(&config, &deps)
	}
	if s.edge, err = New(config, deps); err != nil {
		t.Fatal(err)
	}
	s.router = web.NewRouter(web.NewShell(web.ShellConfig{Role: "waitingroom"}, web.ShellDeps{}))
	s.edge.Routes(s.router)
	server := web.NewServer(web.Config{}, web.ServerDeps{Handler: s.router.Handler})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	start := func(name string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	start("desk", desk.Run)
	start("edge", s.edge.Run)
	machine := queue.New(queue.Limits{})
	m := &machinist{log: log, names: names, core: engine.NewCore(machine, 0), queue: machine, every: 50 * time.Millisecond}
	if _, ok := t.(*testing.B); ok {
		m.every = time.Second // as a leader does
	}
	start("machine", m.run)
	start("server", func(ctx context.Context) error { return server.Serve(ctx, halves{s.ln}) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	s.until("ready", func() bool { return s.edge.Ready(ctx) == nil })
	s.define()
	return s
}

// halves is a listener whose connections can be closed by halves, as those of a network can: the server reads on a little
// behind an answer that ends one, so that a client which is still writing sees it.
type halves struct{ net.Listener }

func (h halves) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return half{c}, nil
}

type half struct{ net.Conn }

// CloseWrite has nothing to do: what was written is read before the end.
func (half) CloseWrite() error { return nil }

// define makes the rooms known to the log and waits until the edge has their documents.
func (s *stage) define() {
	s.t.Helper()
	send := func(room int64, body wire.Body) { s.t.Helper(); s.order(room, body) }
	for room, state := range map[int64]wire.RoomState{hall: wire.RoomOpen, foyer: wire.RoomPaused, small: wire.RoomOpen} {
		send(room, &wire.DefineRoom{Cap: 1000, PerMinute: 60_000})
		send(room, &wire.SetRoom{State: wire.RoomOpen})
		if state != wire.RoomOpen {
			send(room, &wire.SetRoom{State: state})
		}
		send(room, &wire.Signal{Left: 1204, Coming: 37, Price: 1_250_000, Currency: [3]byte{'V', 'N', 'D'}, Headroom: -1, SourceSeq: 1})
	}
	send(cellar, &wire.DefineRoom{Cap: 10, PerMinute: 60, EarlyFrom: time.Now().Add(time.Hour).UnixMicro(),
		Opens: time.Now().Add(2 * time.Hour).UnixMicro()})
	s.until("documents", func() bool {
		a, b := s.edge.docs.newest(hall), s.edge.docs.newest(foyer)
		return a != nil && b != nil && a.doc.State == "open" && b.doc.State == "paused" && b.doc.Left > 0
	})
}

// order appends an operator's record.
func (s *stage) order(room int64, body wire.Body) {
	s.t.Helper()
	value := wire.AppendRecord(nil, wire.Record{Object: room}, body)
	if _, err := s.queue.real.Append(context.Background(), 0, value, time.Time{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) until(what string, ok func() bool) {
	s.t.Helper()
	s.untilBy(time.Now().Add(15*time.Second), what, ok)
}

func (s *stage) untilBy(end time.Time, what string, ok func() bool) {
	s.t.Helper()
	for ; time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("waited in vain: %s", what)
}

// machinist runs the queue machine as a leader does, without lease or standby.
type machinist struct {
	log   *eventlog.Log
	names [3]string // queue, outcomes, documents
	core  *engine.Core
	queue *queue.Machine
	every time.Duration // between documents
	out   wire.Outcomes
}

func (m *machinist) run(ctx context.Context) error {
	in := m.log.Producer(m.names[0])
	epoch := wire.AppendRecord(nil, wire.Record{}, &wire.Epoch{Epoch: 1})
	if _, err := in.Append(ctx, 0, epoch, time.Time{}); err != nil {
		return err
	}
	tail := m.log.Tail(m.names[0], 0, 0, eventlog.TailConfig{MaxWait: 10 * time.Millisecond})
	for published := time.Now(); ctx.Err() == nil; {
		tick := wire.AppendRecord(nil, wire.Record{}, &wire.Tick{Epoch: 1, Now: time.Now().UnixMicro()})
		if _, err := in.Append(ctx, 0, tick, time.Time{}); err != nil && !busy(err) {
			return err
		}
		records, err := tail.Fetch(ctx)
		if err != nil {
			return err
		}
		if err := m.apply(ctx, records); err != nil {
			return err
		}
		if time.Since(published) >= m.every {
			published = time.Now()
			if err := m.publish(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// busy reports that the log in this process did not answer in time: other tests have the processors.
func busy(err error) bool {
	return errors.Is(err, eventlog.ErrUnknown) || errors.Is(err, eventlog.ErrNotAppended)
}

func (m *machinist) apply(ctx context.Context, records []eventlog.Record) error {
	m.out.Reset()
	for _, r := range records {
		if err := m.core.Apply(r.Offset, r.Value, &m.out); err != nil {
			return err
		}
	}
	var values [][]byte
	for i := range m.out.Len() {
		values = append(values, bytes.Clone(m.out.At(i)))
	}
	for len(values) > 0 {
		n := min(len(values), 1000)
		_, err := m.log.AppendBatch(ctx, m.names[1], 0, values[:n])
		if busy(err) && ctx.Err() == nil {
			continue // the same bytes under the same numbers again, as a leader does
		}
		if err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

func (m *machinist) publish(ctx context.Context) (err error) {
	clock := m.core.Clock()
	m.queue.Documents(&clock, func(_ int64, json []byte) {
		if err == nil {
			if _, err = m.log.Producer(m.names[2]).Append(ctx, 0, json, time.Time{}); busy(err) {
				err = nil // the next one follows soon
			}
		}
	})
	return err
}

// fan is a client with cookies of its own.
type fan struct {
	s      *stage
	client *http.Client
	header http.Header
}

func (s *stage) fan() *fan {
	jar, _ := cookiejar.New(nil)
	return &fan{s: s, header: http.Header{}, client: &http.Client{
		Jar: jar, Timeout: 15 * time.Second,
		Transport:     &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return s.ln.Dial() }},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
}

// kind is the last segment of the problem's type; it fails the test if the reply is no problem document.
func (r reply) kind(t testing.TB) string {
	t.Helper()
	var p struct{ Type, Detail string }
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("status %d, type %s, body %s", r.status, got, r.body)
	}
	r.into(t, &p)
	if p.Detail == "" {
		t.Errorf("a problem without a detail: %s", r.body)
	}
	return p.Type[strings.LastIndexByte(p.Type, '/')+1:]
}

func (f *fan) do(method, path, kind string, body []byte) reply {
	f.s.t.Helper()
	req, err := http.NewRequest(method, "http://edge"+path, bytes.NewReader(body))
	if err != nil {
		f.s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	for name, values := range f.header {
		req.Header[name] = values
	}
	resp, err := f.client.Do(req)
	if err != nil {
		f.s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		f.s.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, b}
}

func (f *fan) get(path string) reply { f.s.t.Helper(); return f.do("GET", path, "", nil) }

func (f *fan) post(path string, v any) reply {
	f.s.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		f.s.t.Fatal(err)
	}
	return f.do("POST", path, "application/json", b)
}

// submit posts a form as a browser does.
func (f *fan) submit(path, form string) reply {
	f.s.t.Helper()
	f.header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	return f.do("POST", path, "application/x-www-form-urlencoded", []byte(form))
}

// arrive returns the challenge of a fan.
func (f *fan) arrive(room string) (a arriveAnswer) {
	f.s.t.Helper()
	r := f.post("/rooms/"+room+"/arrive", map[string]string{})
	if r.status != 200 {
		f.s.t.Fatalf("arrive: %d %s", r.status, r.body)
	}
	r.into(f.s.t, &a)
	if a.Challenge == "" {
		f.s.t.Fatalf("arrive: no challenge in %s", r.body)
	}
	return a
}

// join goes all the way into the line.
func (f *fan) join(room string) (p placeAnswer) {
	f.s.t.Helper()
	a := f.arrive(room)
	r := f.post("/rooms/"+room+"/join", joinRequest{a.Challenge, solved(f.s.t, a.Puzzle)})
	if r.status != 200 {
		f.s.t.Fatalf("join: %d %s", r.status, r.body)
	}
	r.into(f.s.t, &p)
	if !p.Recorded {
		f.s.t.Fatalf("join not recorded: %s", r.body)
	}
	return p
}
