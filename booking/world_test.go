package booking_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp/fasthttputil"
	"go.uber.org/goleak"

	"fairgate/booking"
	"fairgate/internal/answer"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/receipt"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/processor"
	"fairgate/processor/stock"
)

// TestMain ignores two goroutines that fasthttp never waits for: its clock, and the cleaner of idle workers.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, append(testpg.IgnoreLeaks(),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))...)
}

// Events of a world.
const (
	concert = 101 // no waiting room; 10 standing, 4 seats, 2 per user… see newWorld
	guarded = 102 // behind room 9
	gone    = 103 // one ticket in all
	room    = 9
)

// world is the API with everything behind it that decides: Postgres, a log, the real stock machine under the real
// engine core, the real projector, and the payment service over the simulator.
type world struct {
	*paytest.World
	t        *testing.T
	cfg      booking.Config
	redis    redis.UniversalClient
	guard    booking.Guard
	outcomes string
	desk     *answer.Desk
	api      *booking.API
	router   *web.Router
	client   *http.Client
	key      ed25519.PrivateKey
	signer   *receipt.Signer
	events   *eventlog.Log // that receipts are read from
	hold     sync.Mutex    // held while the machine is to stand still
	skew     int64         // added to room time, µs
	location string
}

// Mute keeps the machine from deciding while f runs.
func (w *world) Mute(f func()) {
	w.hold.Lock()
	defer w.hold.Unlock()
	f()
}

func newWorld(t *testing.T, change ...func(*world)) *world {
	t.Parallel()
	w := &world{World: paytest.New(t), t: t, cfg: booking.Config{
		GuestKey: "a guest key of a test", ServiceKey: "a service key of a test", AnswerWait: 5 * time.Second,
	}}
	for _, c := range change {
		c(w)
	}
	w.outcomes = testkafka.Topic(t, w.Log, "outcomes", 1)
	w.desk = answer.New(answer.Config{Topic: w.outcomes, Partitions: 1}, answer.Deps{Events: w.Log})
	_, w.key, _ = ed25519.GenerateKey(nil)
	var err error
	if w.signer, err = receipt.NewSigner([]receipt.Key{{ID: 3, Seed: [32]byte{3}}}); err != nil {
		t.Fatal(err)
	}
	w.events = w.Log
	w.build()
	w.run("desk", w.desk.Run)
	w.run("api", w.api.Run)
	w.run("machine", w.machine)
	w.run("ticks", w.ticks)
	w.run("projector", w.project)
	w.serve()
	w.seed()
	return w
}

func (w *world) now() (int64, int64) { return time.Now().UnixMicro() + w.skew, 0 }

func (w *world) build() {
	api, err := booking.New(w.cfg, booking.Deps{
		Store: w.DB, Redis: w.redis, Orders: w.Log.Producer(w.Topic), Events: w.events, Topic: w.Topic, Receipts: w.signer, Desk: w.desk, RoomTime: w.now, Payments: w.Service,
		Guard: w.guard, Passes: func(*jwt.Token) (any, error) { return w.key.Public(), nil },
		Log: slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.api = api
	w.router = web.NewRouter(web.NewShell(web.ShellConfig{Role: "booking"}, web.ShellDeps{
		Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	}))
	api.Routes(w.router)
}

// run owns a goroutine until the test ends.
func (w *world) run(name string, part func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			w.t.Errorf("%s: %v", name, err)
		}
	})
}

// machine is a leader without an election: every record through the core, its outcomes into their topic.
func (w *world) machine(ctx context.Context) error {
	core := engine.NewCore(stock.New(stock.Limits{}), 0)
	tail := w.Log.Tail(w.Topic, 0, 0, eventlog.TailConfig{MaxWait: 20 * time.Millisecond})
	for {
		records, err := tail.Fetch(ctx)
		if err != nil {
			return err
		}
		w.hold.Lock()
		var out wire.Outcomes
		for _, r := range records {
			if err := core.Apply(r.Offset, r.Value, &out); err != nil {
				return err
			}
		}
		values := make([][]byte, out.Len())
		for i := range values {
			values[i] = bytes.Clone(out.At(i))
		}
		w.hold.Unlock()
		if len(values) == 0 {
			continue
		}
		if _, err := w.Log.AppendBatch(ctx, w.outcomes, 0, values); err != nil {
			return err
		}
	}
}

func (w *world) ticks(ctx context.Context) error {
	orders := w.Log.Producer(w.Topic)
	append := func(body wire.Body) error {
		_, err := orders.Append(ctx, 0, wire.AppendRecord(nil, wire.Record{}, body), time.Time{})
		return err
	}
	if err := append(&wire.Epoch{Epoch: 1, Leader: wire.ID{1}, Code: stock.Code}); err != nil {
		return err
	}
	for {
		now, _ := w.now()
		if err := append(&wire.Tick{Epoch: 1, Now: now}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(25 * time.Millisecond):
		}
	}
}

func (w *world) project(ctx context.Context) error {
	p, err := processor.NewProjector(processor.ProjectorConfig{Topic: w.outcomes}, processor.Deps{Store: w.DB, Events: w.Log})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

func (w *world) serve() {
	ln := fasthttputil.NewInmemoryListener()
	srv := web.NewServer(web.Config{RequestTimeout: 8 * time.Second}, web.ServerDeps{Handler: w.router.Handler})
	w.run("server", func(ctx context.Context) error { return srv.Serve(ctx, ln) })
	w.client = &http.Client{
		Transport:     &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	w.t.Cleanup(w.client.CloseIdleConnections)
}

// seed makes the events of a world, as an organiser's publisher does: the row first, then the log.
func (w *world) seed() {
	ctx := w.t.Context()
	if _, _, err := w.DB.CreateRoom(ctx, store.Room{ID: room, Name: "Stadium", Cap: 100, PerMinute: 100}); err != nil {
		w.t.Fatal(err)
	}
	day := time.Date(2027, 6, 4, 20, 0, 0, 0, time.UTC)
	for _, e := range []store.Event{
		{ID: concert, Name: "Sơn Tùng in Hà Nội", Venue: "Mỹ Đình", City: "Hà Nội", Zone: "Asia/Ho_Chi_Minh", StartsAt: day, EndsAt: day.Add(3 * time.Hour),
			Currency: "EUR", PerUser: 6, Types: []store.TicketType{
				{Type: 1, Name: "Standing", Default: true, Capacity: 10, Price: sale.Price{Ticket: 2500, Fee: 150, TaxRate: 200_000, Included: true}},
				{Type: 2, Name: "Seat", Capacity: 4, Price: sale.Price{Ticket: 6000, Fee: 150, TaxRate: 200_000}}}},
		{ID: guarded, Name: "Björk på Island", Zone: "Atlantic/Reykjavik", StartsAt: day.AddDate(0, 1, 0), EndsAt: day.AddDate(0, 1, 2),
			Currency: "JPY", Room: room, Types: []store.TicketType{{Type: 1, Name: "Ticket", Default: true, Capacity: 50, Price: sale.Price{Ticket: 9000}}}},
		{ID: gone, Name: "Tiny Desk", Zone: "America/New_York", StartsAt: day.AddDate(0, 2, 0), EndsAt: day.AddDate(0, 2, 0),
			Currency: "USD", Types: []store.TicketType{{Type: 1, Name: "Chair", Default: true, Capacity: 1, Price: sale.Price{Ticket: 1000}}}},
	} {
		if _, created, err := w.DB.CreateEvent(ctx, e); err != nil || !created {
			w.t.Fatalf("event %d: %v %v", e.ID, created, err)
		}
		w.define(e)
	}
	w.eventually("every event to be known", func() bool {
		return paytest.One[int](w.World, `SELECT count(*) FROM events WHERE selling AND id > 100`) == 3 &&
			paytest.One[int](w.World, `SELECT coalesce(sum(free), 0) FROM ticket_types`) == 65
	})
}

// tell appends an order about an event.
func (w *world) tell(event int64, body wire.Body) {
	w.t.Helper()
	if _, err := w.Log.Producer(w.Topic).Append(w.t.Context(), 0, wire.AppendRecord(nil, wire.Record{Object: event}, body), time.Time{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) define(e store.Event) {
	must := func(body wire.Body) {
		w.t.Helper()
		w.tell(e.ID, body)
	}
	d := &wire.DefineEvent{PerUser: uint16(e.PerUser), NeedsPass: e.Room != 0, Room: e.Room}
	copy(d.Currency[:], e.Currency)
	must(d)
	for _, t := range e.Types {
		must(&wire.DefineType{Type: t.Type, Capacity: uint32(t.Capacity), Default: t.Default, Price: wire.Price(t.Price)})
	}
	must(&wire.SetSelling{Selling: true})
}

func (w *world) eventually(what string, true func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !true(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// pass signs an admission pass for the room; change may spoil it.
func (w *world) pass(change func(jwt.MapClaims)) string {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": "fairgate", "aud": []string{"room:" + strconv.Itoa(room)}, "sub": strings.Repeat("ab", 16), "jti": fmt.Sprintf("%032x", now.UnixNano()),
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(), "room": room, "place": strings.Repeat("cd", 16), "lane": "normal",
	}
	if change != nil {
		change(claims)
	}
	s, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// reply is an answer, read.
type reply struct {
	*http.Response
	body []byte
	json map[string]any
}

func (r reply) text(key string) string { return fmt.Sprint(r.json[key]) }

// call sends a request; body is JSON, or nothing. Headers come in pairs.
func (w *world) call(method, path, body string, headers ...string) reply {
	w.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://shop.test"+path, in)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	r := reply{Response: res}
	if r.body, err = io.ReadAll(res.Body); err != nil {
		w.t.Fatal(err)
	}
	if strings.Contains(res.Header.Get("Content-Type"), "json") && bytes.HasPrefix(r.body, []byte("{")) {
		if err := json.Unmarshal(r.body, &r.json); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, r.body)
		}
	}
	w.validate(req, body, r)
	return r
}

// want is call with a status that must be answered.
func (w *world) want(status int, method, path, body string, headers ...string) reply {
	w.t.Helper()
	r := w.call(method, path, body, headers...)
	if r.StatusCode != status {
		w.t.Fatalf("%s %s %s: answered %d, want %d: %s", method, path, body, r.StatusCode, status, r.body)
	}
	return r
}

func bodyOf(user string, event int, rest string) string {
	return fmt.Sprintf(`{"userId":%q,"eventId":%d%s}`, user, event, rest)
}
