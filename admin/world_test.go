package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairgate/admin"
	"fairgate/internal/answer"
	"fairgate/internal/conf"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/processor"
	"fairgate/processor/stock"
	"fairgate/waitingroom/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testpg.IgnoreLeaks()...) }

const (
	operator   = "boss@venue.example"
	organiser  = "maria@venue.example"
	password   = "correct horse battery"
	serviceKey = "a service key of a test, long enough to be one"
)

// world is the dashboard with everything that decides: Postgres, both logs, both machines under the real engine core,
// the real projector, and the queue's documents.
type world struct {
	t         *testing.T
	db        *store.DB
	log       *eventlog.Log
	orders    string
	outcomes  string
	queue     string
	queueOuts string
	documents string
	commands  *admin.Commander
	admin     *admin.Admin
	server    *httptest.Server
	client    *http.Client
}

func newWorld(t *testing.T, change ...func(*admin.Config, *admin.Deps)) *world {
	t.Parallel()
	w := &world{t: t, log: testkafka.Log(t)}
	for _, topic := range []struct {
		to   *string
		name string
	}{{&w.orders, "orders"}, {&w.outcomes, "outcomes"}, {&w.queue, "queue"}, {&w.queueOuts, "queue-outcomes"}, {&w.documents, "documents"}} {
		*topic.to = testkafka.Topic(t, w.log, topic.name, 1)
	}
	var err error
	if w.db, err = store.New(t.Context(), store.Config{Write: conf.Secret(testpg.Migrated(t, "schema", store.Migrate))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.db.Close)
	w.commands = &admin.Commander{
		Orders: w.log.Producer(w.orders), Queue: w.log.Producer(w.queue), RoomTime: now,
		OrdersDesk: answer.New(answer.Config{Topic: w.outcomes, Partitions: 1}, answer.Deps{Events: w.log}),
		QueueDesk:  answer.New(answer.Config{Topic: w.queueOuts, Partitions: 1}, answer.Deps{Events: w.log}),
	}
	w.run("orders desk", w.commands.OrdersDesk.Run)
	w.run("queue desk", w.commands.QueueDesk.Run)
	w.run("stock", w.machine(w.orders, w.outcomes, stock.New(stock.Limits{})))
	w.run("queue", w.machine(w.queue, w.queueOuts, queue.New(queue.Limits{})))
	w.run("ticks of orders", w.ticks(w.orders))
	w.run("ticks of queue", w.ticks(w.queue))
	w.run("projector", w.project)
	w.build(change)
	return w
}

func now() (int64, int64) { return time.Now().UnixMicro(), 180 }

func (w *world) build(change []func(*admin.Config, *admin.Deps)) {
	cfg := admin.Config{ServiceKey: serviceKey}
	deps := admin.Deps{
		Store: w.db, Commands: w.commands, Events: w.log, DocumentsTopic: w.documents, Partitions: 1,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, c := range change {
		c(&cfg, &deps)
	}
	var err error
	if w.admin, err = admin.New(cfg, deps); err != nil {
		w.t.Fatal(err)
	}
	w.run("admin", w.admin.Run)
	w.server = httptest.NewServer(w.admin.Handler())
	w.t.Cleanup(w.server.Close)
	w.client = w.newClient()
	w.eventually("everything to be ready", func() bool {
		ctx := w.t.Context()
		return w.admin.Ready(ctx) == nil && w.commands.OrdersDesk.Ready(ctx) == nil && w.commands.QueueDesk.Ready(ctx) == nil
	})
}

func (w *world) newClient() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	transport := &http.Transport{}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
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
func (w *world) machine(in, out string, m engine.Machine) func(context.Context) error {
	return func(ctx context.Context) error {
		core := engine.NewCore(m, 0)
		tail := w.log.Tail(in, 0, 0, eventlog.TailConfig{MaxWait: 20 * time.Millisecond})
		for {
			records, err := tail.Fetch(ctx)
			if err != nil {
				return err
			}
			var outcomes wire.Outcomes
			for _, r := range records {
				if err := core.Apply(r.Offset, r.Value, &outcomes); err != nil {
					return err
				}
			}
			values := make([][]byte, outcomes.Len())
			for i := range values {
				values[i] = bytes.Clone(outcomes.At(i))
			}
			if len(values) == 0 {
				continue
			}
			if _, err := w.log.AppendBatch(ctx, out, 0, values); err != nil {
				return err
			}
			if err := w.publish(ctx, core, m); err != nil {
				return err
			}
		}
	}
}

func (w *world) publish(ctx context.Context, core *engine.Core, m engine.Machine) error {
	d, ok := m.(engine.Documenter)
	if !ok {
		return nil
	}
	var values [][]byte
	clock := core.Clock()
	d.Documents(&clock, func(_ int64, b []byte) { values = append(values, b) })
	if len(values) == 0 {
		return nil
	}
	_, err := w.log.AppendBatch(ctx, w.documents, 0, values)
	return err
}

func (w *world) ticks(topic string) func(context.Context) error {
	return func(ctx context.Context) error {
		log := w.log.Producer(topic)
		put := func(body wire.Body) error {
			_, err := log.Append(ctx, 0, wire.AppendRecord(nil, wire.Record{}, body), time.Time{})
			return err
		}
		if err := put(&wire.Epoch{Epoch: 1, Leader: wire.ID{1}, Code: stock.Code}); err != nil {
			return err
		}
		for {
			at, bound := now()
			if err := put(&wire.Tick{Epoch: 1, Now: at, Bound: bound}); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

func (w *world) project(ctx context.Context) error {
	p, err := processor.NewProjector(processor.ProjectorConfig{Topic: w.outcomes}, processor.Deps{Store: w.db, Events: w.log})
	if err != nil {
		return err
	}
	return p.Run(ctx)
}

func (w *world) eventually(what string, true func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !true(); time.Sleep(15 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// user adds a user and logs them in.
func (w *world) user(email, role string) *world {
	w.t.Helper()
	if err := admin.AddUser(w.t.Context(), w.db, email, password, role); err != nil {
		w.t.Fatal(err)
	}
	as := *w
	as.client = w.newClient()
	r := as.form("/login", url.Values{"email": {email}, "password": {password}})
	if r.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("login answered %d: %s", r.StatusCode, r.body)
	}
	return &as
}

type reply struct {
	*http.Response
	body []byte
	json map[string]any
}

func (r reply) text(key string) string { return fmt.Sprint(r.json[key]) }

func (w *world) do(method, path, contentType, body string, headers ...string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.server.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
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
	return r
}

// form sends what a page's form would, as a browser does.
func (w *world) form(path string, values url.Values) reply {
	w.t.Helper()
	return w.do("POST", path, "application/x-www-form-urlencoded", values.Encode(),
		"Accept", "text/html", "Sec-Fetch-Site", "same-origin", "Origin", w.server.URL)
}

// api sends JSON; a body of nothing is a GET.
func (w *world) api(path string, body any) reply {
	w.t.Helper()
	if body == nil {
		return w.do("GET", path, "", "")
	}
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.do("POST", path, "application/json", string(b))
}

func (w *world) want(status int, r reply) reply {
	w.t.Helper()
	if r.StatusCode != status {
		w.t.Fatalf("%s %s answered %d, want %d: %s", r.Request.Method, r.Request.URL.Path, r.StatusCode, status, r.body)
	}
	return r
}

type m = map[string]any

// concert is the body that creates an event; more adds or replaces members.
func concert(more m) m {
	b := m{
		"name": "Night of Lights", "venue": "Stadthalle", "city": "Wien", "zone": "Europe/Vienna", "startsAt": "2027-06-04T20:00",
		"endsAt": "2027-06-04T21:00:00Z", "currency": "EUR", "perUser": 6, "ticketTypes": []m{
			{"name": "Standing", "capacity": 100, "price": "45.00", "fee": "2.50", "taxRate": "13", "tax": "included"},
			{"name": "Seat", "capacity": 20, "price": "80.00", "tax": "included"},
		},
	}
	for k, v := range more {
		if b[k] = v; v == nil {
			delete(b, k)
		}
	}
	return b
}

// create makes an event and waits until the log knows all of it.
func (w *world) create(more m) int64 {
	w.t.Helper()
	r := w.want(200, w.api("/api/events", concert(more)))
	var id int64
	if _, err := fmt.Sscanf(r.text("object"), "event/%d", &id); err != nil {
		w.t.Fatalf("created %s: %v", r.body, err)
	}
	w.eventually("the event to be projected", func() bool {
		e, err := w.db.LatestEvent(w.t.Context(), id)
		if err != nil || !e.Defined {
			return false
		}
		for _, t := range e.Types {
			if t.ChangedSeq == 0 {
				return false
			}
		}
		return true
	})
	return id
}

func (w *world) createRoom(more m) int64 {
	w.t.Helper()
	b := m{"name": "Main line", "cap": 50, "perMinute": 120}
	for k, v := range more {
		b[k] = v
	}
	r := w.want(200, w.api("/api/rooms", b))
	var id int64
	if _, err := fmt.Sscanf(r.text("object"), "room/%d", &id); err != nil {
		w.t.Fatalf("created %s: %v", r.body, err)
	}
	w.eventually("the room's first document", func() bool { return w.roomState(id) != "unknown" })
	return id
}

func (w *world) roomState(id int64) string {
	w.t.Helper()
	return w.want(200, w.api(fmt.Sprintf("/api/rooms/%d", id), nil)).text("state")
}

func (w *world) changedSeq(event int64) uint64 {
	w.t.Helper()
	e, err := w.db.LatestEvent(w.t.Context(), event)
	if err != nil {
		w.t.Fatal(err)
	}
	return e.ChangedSeq
}
