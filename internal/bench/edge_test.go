package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/botguard/puzzle"
	"fairgate/internal/answer"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom"
	"fairgate/waitingroom/queue"
	"fairgate/waitingroom/token"
)

// What joins are measured with: edge, engine, queue machine, log and load generator share this machine.
const (
	joinRoom    = 1
	joinFans    = 512   // connections, each with one join under way
	joinsAtOnce = 8_192 // joins of one turn
	joinTurns   = 24    // with fewer the median differs by a tenth from run to run
	edgeGC      = 400   // GOGC of an edge, as deploy/compose.yaml sets it; both sides of a ratio have it
)

// gate is a guard that lets everybody in. It verifies the work only where that is measured; its price is paid easily, and
// checked like any other: a check costs the same whatever the difficulty.
type gate struct{ set *puzzle.Set }

var joinPrice = puzzle.Params{Algorithm: puzzle.SHA256ID, SubPuzzles: 4, K: 1, Difficulty: puzzle.MinDifficulty}

func (g gate) Judge(context.Context, waitingroom.Visit) waitingroom.Verdict {
	return waitingroom.Verdict{Allow: true, Status: fasthttp.StatusOK}
}

func (g gate) Check(seed wire.Hash, p token.Price, solution []byte) error {
	if g.set == nil {
		return nil
	}
	return g.set.Verify(seed, puzzle.Params{Algorithm: p.Algorithm, SubPuzzles: p.SubPuzzles, K: p.K, Difficulty: p.Difficulty}, solution)
}

func (gate) Failed(waitingroom.Visit)                                 {}
func (gate) Algorithm(token.Price) (string, error)                    { return "sha256", nil }
func (gate) Networks(netip.Addr) (n sale.Networks)                    { return }
func (gate) Presence() (p token.Price)                                { return }
func (gate) Issued(waitingroom.Visit)                                 {}
func (gate) Carrier(netip.Addr) bool                                  { return false }
func (gate) ClientAddress(p netip.Addr, _ string) (netip.Addr, error) { return p, nil }
func (gate) Header() string                                           { return "X-Forwarded-For" }

type oneRoom struct{}

func (oneRoom) Rooms(context.Context) ([]waitingroom.Room, error) {
	return []waitingroom.Room{{ID: joinRoom, Name: "Bench", Next: "/"}}, nil
}

// BenchmarkEdgeJoin is a join until the log has acknowledged it, the log embedded in this process and the puzzle left out;
// the ratio is its rate over that of a bare fasthttp server that answers as many posts with the same bytes, headers and all.
func BenchmarkEdgeJoin(b *testing.B) {
	rate := joinRates(b, testkafka.Log(b), false)
	b.ReportMetric(rate.ours, "bench:edge.join:joins/s")
	b.ReportMetric(rate.ratio, "ratio:edge.join")
	b.ReportMetric(rate.cpu, "ratio:edge.join.cpu")
}

// BenchmarkEdgeJoinFull is the same with the puzzle's solution verified.
func BenchmarkEdgeJoinFull(b *testing.B) {
	rate := joinRates(b, testkafka.Log(b), true)
	b.ReportMetric(rate.ours, "bench:edge.join_full:joins/s")
	b.ReportMetric(rate.ratio, "ratio:edge.join_full")
	b.ReportMetric(rate.cpu, "ratio:edge.join_full.cpu")
}

// BenchmarkEdgeJoinKafka is the same as the first over one broker of Apache Kafka.
func BenchmarkEdgeJoinKafka(b *testing.B) {
	rate := joinRates(b, startKafka(b, 1).log, false)
	b.ReportMetric(rate.ours, "bench:edge.join_kafka:joins/s")
	b.ReportMetric(rate.ratio, "ratio:edge.join_kafka")
}

// joinRate is joins a second; that rate over the one of bare answers, the median of the turns, since a busy machine stalls one
// side of some; and how much processor time of this process a bare answer takes of what a join does.
type joinRate struct{ ours, ratio, cpu float64 }

// joinRates measures joins and bare answers in turns, so that what else the machine does hits both alike. In the end the
// log must hold exactly the joins that were acknowledged.
func joinRates(b *testing.B, log *eventlog.Log, full bool) joinRate {
	defer debug.SetGCPercent(debug.SetGCPercent(edgeGC))
	d := newDoor(b, log, full)
	plain := d.bareServer()
	var all time.Duration
	var busy [2]time.Duration
	var ratios []float64
	for b.Loop() {
		for range joinTurns {
			crowd := d.crowd()
			var took [2]time.Duration
			for side, url := range [2]string{d.url, plain} {
				used := ownCPU(b)
				took[side] = d.send(url, crowd, side == 0)
				busy[side] += ownCPU(b) - used
			}
			all += took[0]
			ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
		}
	}
	d.compareLog()
	slices.Sort(ratios)
	return joinRate{float64(len(ratios)*joinsAtOnce) / all.Seconds(), ratios[len(ratios)/2], busy[1].Seconds() / busy[0].Seconds()}
}

// ownCPU is how much processor time this process has used.
func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// door is an edge over TCP, with everything behind it.
type door struct {
	b     *testing.B
	log   *eventlog.Log
	queue string // topic
	keys  *token.Keys
	set   puzzle.Set
	full  bool
	url   string
	rand  *rand.ChaCha8
	last  int64
	acked map[string]bool   // token ids, hex
	one   fasthttp.Response // an answer, for the bare server
}

func newDoor(b *testing.B, log *eventlog.Log, full bool) *door {
	d := &door{b: b, log: log, full: full, rand: rand.NewChaCha8([32]byte{1}), acked: map[string]bool{}}
	var err error
	if d.keys, err = token.NewKeys([]token.Key{{ID: 1, Secret: [32]byte{1}}}); err != nil {
		b.Fatal(err)
	}
	if d.set, err = puzzle.NewSet(puzzle.SHA256{}); err != nil {
		b.Fatal(err)
	}
	d.queue = testkafka.Topic(b, log, "queue", 1)
	outcomes, documents := testkafka.Topic(b, log, "queue-outcomes", 1), testkafka.Topic(b, log, "queue-documents", 1)
	passes, err := waitingroom.NewPasses([]token.Key{{ID: 1, Secret: [32]byte{2}}})
	if err != nil {
		b.Fatal(err)
	}
	desk := answer.New(answer.Config{Topic: outcomes, Partitions: 1}, answer.Deps{Events: log})
	g := gate{}
	if full {
		g.set = &d.set
	}
	edge, err := waitingroom.New(waitingroom.Config{Edge: 1, JoinWait: 10 * time.Second}, waitingroom.Deps{
		Keys: d.keys, Passes: passes, RoomTime: roomTime, Guard: g, Queue: log.Producer(d.queue), Answers: desk,
		Documents: waitingroom.DocumentLog{Events: log, Topic: documents, Partitions: 1}, Rooms: oneRoom{},
	})
	if err != nil {
		b.Fatal(err)
	}
	runner := engine.New(engine.Config{Input: d.queue, Outcomes: outcomes, Documents: documents,
		Tuning: engine.Tuning{SnapshotEvery: time.Hour, SnapshotRecords: 1 << 40}}, engine.Deps{
		Events: log, Leases: alone{}, Snapshots: alone{}, RoomTime: roomTime,
		Machine: func() engine.Machine { return queue.New(queue.Limits{}) },
	})
	d.run(desk.Run, edge.Run, runner.Run)
	define := wire.AppendRecord(nil, wire.Record{Object: joinRoom}, &wire.DefineRoom{Cap: 1, PerMinute: 1})
	if _, err := log.Producer(d.queue).Append(b.Context(), 0, define, time.Time{}); err != nil {
		b.Fatal(err)
	}
	router := web.NewRouter(web.NewShell(web.ShellConfig{Role: "waitingroom"}, web.ShellDeps{}))
	edge.Routes(router)
	d.url = d.serve(web.NewServer(web.Config{}, web.ServerDeps{Handler: router.Handler}).Serve) + "/rooms/1/join"
	for edge.Ready(b.Context()) != nil {
		time.Sleep(5 * time.Millisecond) // nothing says when the topics were read to their ends
	}
	return d
}

func roomTime() (now, bound int64) { return time.Now().UnixMicro(), 0 }

// run owns parts until the benchmark ends.
func (d *door) run(parts ...func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, part := range parts {
		all.Go(func() {
			if err := part(ctx); err != nil && !errors.Is(err, context.Canceled) {
				d.b.Error(err)
			}
		})
	}
	d.b.Cleanup(func() { cancel(); all.Wait() })
}

func (d *door) serve(serve func(context.Context, net.Listener) error) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.b.Fatal(err)
	}
	d.run(func(ctx context.Context) error { return serve(ctx, ln) })
	return "http://" + ln.Addr().String()
}

// bareServer answers every post with the very bytes of a join's answer, its headers too.
func (d *door) bareServer() (url string) {
	d.send(d.url, d.crowd()[:1], true)
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { d.one.CopyTo(&ctx.Response) }}
	return d.serve(func(ctx context.Context, ln net.Listener) error {
		stop := context.AfterFunc(ctx, func() { _ = s.Shutdown() })
		defer stop()
		return s.Serve(ln)
	})
}

// joining is a join that is ready to be sent.
type joining struct{ visitor, body string }

// crowd are the joins of a turn: they arrive now. Arriving and solving are not measured.
func (d *door) crowd() []joining {
	all := make([]joining, joinsAtOnce)
	for i := range all {
		var secret [token.VisitorSize]byte
		_, _ = d.rand.Read(secret[:]) // it always reads
		d.last = max(d.last+1, time.Now().UnixMicro())
		place := wire.Place{Room: joinRoom, Instant: d.last, Edge: 1, Visitor: token.VisitorHash(secret), Narrow: d.rand.Uint64(), Wide: d.rand.Uint64()}
		binary.LittleEndian.PutUint64(place.Random[:], d.rand.Uint64())
		signed, err := d.keys.MintChallenge(place, token.Price{Algorithm: joinPrice.Algorithm, SubPuzzles: joinPrice.SubPuzzles, K: joinPrice.K,
			Difficulty: joinPrice.Difficulty})
		if err != nil {
			d.b.Fatal(err)
		}
		solution := make([]byte, 8*int(joinPrice.SubPuzzles))
		if d.full {
			ch, _, _, _ := wire.ParseChallenge(signed)
			if solution, err = d.set.Solve(ch.Seed(), joinPrice, nil); err != nil {
				d.b.Fatal(err)
			}
		}
		all[i] = joining{token.Text(secret[:]), `{"challenge":"` + token.Text(signed) + `","solution":"` + token.Text(solution) + `"}`}
	}
	return all
}

// send has everybody join, joinFans at a time, and says how long that took. Answers are of joins, or of nothing.
func (d *door) send(url string, crowd []joining, joins bool) time.Duration {
	b := d.b
	b.Helper()
	work := make(chan joining, len(crowd))
	for _, j := range crowd {
		work <- j
	}
	close(work)
	answers := make([][]byte, 0, len(crowd))
	var mu sync.Mutex
	var all sync.WaitGroup
	began := time.Now()
	for range min(joinFans, len(crowd)) {
		all.Go(func() {
			client := fasthttp.Client{MaxConnsPerHost: 1}
			defer client.CloseIdleConnections()
			var r fasthttp.Request
			var answer fasthttp.Response
			var mine [][]byte
			for j := range work {
				r.Reset()
				r.SetRequestURI(url)
				r.Header.SetMethod(fasthttp.MethodPost)
				r.Header.SetContentType("application/json")
				r.Header.Set(waitingroom.HeaderVisitor, j.visitor)
				r.SetBodyString(j.body)
				if err := client.Do(&r, &answer); err != nil || answer.StatusCode() != fasthttp.StatusOK {
					b.Errorf("%v, %s", err, answer.Body())
					return
				}
				mine = append(mine, bytes.Clone(answer.Body()))
			}
			mu.Lock()
			answers = append(answers, mine...)
			if len(crowd) == 1 {
				answer.CopyTo(&d.one)
			}
			mu.Unlock()
		})
	}
	all.Wait()
	took := time.Since(began)
	for _, body := range answers {
		if !joins {
			break
		}
		var p struct {
			Place    string
			Recorded bool
		}
		if err := json.Unmarshal(body, &p); err != nil || !p.Recorded || d.acked[p.Place] {
			b.Fatalf("%v: %s", err, body)
		}
		d.acked[p.Place] = true
	}
	return took
}

// compareLog holds the log against the acknowledgements: each join once, and no other.
func (d *door) compareLog() {
	first, next, err := d.log.Bounds(d.b.Context(), d.queue, 0)
	if err != nil {
		d.b.Fatal(err)
	}
	found := 0
	for tail := d.log.Tail(d.queue, 0, first, eventlog.TailConfig{}); tail.Next() < next; {
		records, err := tail.Fetch(d.b.Context())
		if err != nil {
			d.b.Fatal(err)
		}
		for _, r := range records {
			if j, err := wire.ParseRecord(r.Value); err == nil && j.Kind == wire.KindEnlist && r.Offset < next {
				if !d.acked[wire.Hex(j.Ref)] {
					d.b.Fatalf("offset %d: a join that nobody was told of, or twice", r.Offset)
				}
				delete(d.acked, wire.Hex(j.Ref))
				found++
			}
		}
	}
	if len(d.acked) > 0 {
		d.b.Fatalf("%d acknowledged joins are not in the log, %d are", len(d.acked), found)
	}
}
