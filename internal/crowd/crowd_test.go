package crowd

import (
	"context"
	"errors"
	"hash/crc32"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fairgate/internal/wire"
)

// everyPlan gives each plan an eighth, payers two.
func everyPlan() Mix {
	return Mix{Decliners: 125, Lapsers: 125, Cancellers: 125, VanishersEarly: 125, VanishersHolding: 125, Waitlisters: 125}
}

func openJournal(t *testing.T) (*Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, path
}

func plansOf(c Config) map[Plan]int64 {
	n := make(map[Plan]int64)
	for i := range c.Fans {
		n[c.Mix.plan(c.Seed, int64(i))]++
	}
	return n
}

func TestRun_EveryPlanEndsAsMeantThroughTroubleAndRestart(t *testing.T) {
	t.Parallel()
	j, path := openJournal(t)
	fake := newFake(t, 1000)
	fake.journal = path
	// Of three requests that change something one fails once before it took effect, and one once after.
	fake.trouble = func(same string, attempt int) trouble {
		if attempt > 1 || strings.HasPrefix(same, "GET") {
			return served
		}
		return []trouble{served, dropBefore, dropAfter}[crc32.ChecksumIEEE([]byte(same))%3]
	}
	base, kill := fake.serve("127.0.0.1:0")
	cfg := Config{
		BaseURL: base, PayURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 48, Rate: 100, Mix: everyPlan(), Seed: 3,
		SharedDocument: true, Deadline: 30 * time.Second, RequestTimeout: 5 * time.Second,
	}
	restarted := make(chan struct{})
	go func() {
		defer close(restarted)
		time.Sleep(1500 * time.Millisecond)
		kill()
		time.Sleep(300 * time.Millisecond)
		_, kill = fake.serve(strings.TrimPrefix(base, "http://"))
	}()
	r, err := Run(context.Background(), cfg, Deps{Solve: fakeSolve, Journal: j})
	<-restarted
	defer func() { kill() }()
	if err != nil {
		t.Fatal(err)
	}
	n := plansOf(cfg)
	want := map[Outcome]int64{
		Paid: n[Payer] + n[Waitlister], Declined: n[Decliner], LetLapse: n[Lapser], Cancelled: n[Canceller],
		Vanished: n[VanisherEarly] + n[VanisherHolding],
	}
	for _, o := range Outcomes() {
		if r.Counts[o] != want[o] {
			t.Errorf("%s: %d, want %d (%v)", o, r.Counts[o], want[o], r.Failures)
		}
	}
	if r.Counts[Paid] == 0 || r.Errors["connection"] == 0 || r.Seen["renewed"] == 0 || r.Seen["notRecorded"] == 0 || r.Seen["pending"] == 0 {
		t.Errorf("the run saw too little to prove anything: %+v", r)
	}
	for s := range steps {
		if r.Steps[s.String()].Count == 0 {
			t.Errorf("no time of %s", s)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := ReadJournalFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if found := Audit(entries, fake.facts()); len(found) > 0 {
		t.Errorf("a server that kept its promises is accused: %v", found)
	}
	facts := fake.facts()
	for _, e := range entries {
		if e.Kind == EntryPlace {
			delete(facts.Places, e.Place)
			break
		}
	}
	if found := Audit(entries, facts); len(found) != 1 || found[0].Rule != "lost-place" {
		t.Errorf("one place is lost, found %v", found)
	}
}

func TestRun_HeedsRetryAfterAndLimits(t *testing.T) {
	t.Parallel()
	fake := newFake(t, 10)
	fake.trouble = func(same string, attempt int) trouble {
		if attempt == 1 && strings.Contains(same, "/arrive") {
			return refused503
		}
		return served
	}
	base, kill := fake.serve("127.0.0.1:0")
	defer kill()
	began := time.Now()
	r, err := Run(context.Background(), Config{BaseURL: base, PayURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 1, Seed: 1, Mix: Mix{Cancellers: 1000}},
		Deps{Solve: fakeSolve})
	if err != nil || r.Counts[Cancelled] != 1 || r.Errors["503"] == 0 {
		t.Fatalf("%v %+v", err, r)
	}
	if time.Since(began) < time.Second {
		t.Error("came back before the second that the server asked for")
	}
}

func TestRun_LostWebhookIsMendedByTheWayBack(t *testing.T) {
	t.Parallel()
	fake := newFake(t, 10)
	base, kill := fake.serve("127.0.0.1:0")
	defer kill()
	cfg := Config{BaseURL: base, PayURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 1, Seed: 1, Mix: Mix{Decliners: 1}, SharedDocument: true}
	fake.away["fan-1-0"] = true
	r, err := Run(context.Background(), cfg, Deps{Solve: fakeSolve})
	if err != nil || r.Counts[Paid] != 1 {
		t.Fatalf("%v %+v", err, r)
	}
}

func TestRun_RoomThatSaysSoldOutEndsTheWait(t *testing.T) {
	t.Parallel()
	for _, shared := range []bool{true, false} {
		fake := newFake(t, 0)
		fake.state = wire.RoomSoldOut
		base, kill := fake.serve("127.0.0.1:0")
		r, err := Run(context.Background(), Config{
			BaseURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 5, Seed: 1, SharedDocument: shared, Stop: Stop{SoldOut: 600 * time.Millisecond},
		}, Deps{Solve: fakeSolve})
		kill()
		if err != nil || r.Counts[SoldOut] != 5 {
			t.Errorf("shared %v: %v %+v", shared, err, r)
		}
	}
}

func TestRun_WaitlistIsLeftAfterPatience(t *testing.T) {
	t.Parallel()
	fake := newFake(t, 0)
	base, kill := fake.serve("127.0.0.1:0")
	defer kill()
	j, path := openJournal(t)
	cfg := Config{
		BaseURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 10, Seed: 1, Mix: Mix{Waitlisters: 500}, SharedDocument: true,
		Stop: Stop{Waitlist: 500 * time.Millisecond},
	}
	r, err := Run(context.Background(), cfg, Deps{Solve: fakeSolve, Journal: j})
	if n := plansOf(cfg); err != nil || r.Counts[Waitlisted] != n[Waitlister] || r.Counts[SoldOut] != n[Payer] || n[Waitlister] == 0 {
		t.Fatalf("%v %+v", err, r)
	}
	j.Close()
	entries, err := ReadJournalFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if found := Audit(entries, fake.facts()); len(found) > 0 {
		t.Error(found)
	}
}

func TestRun_WithoutAJournalNobodyActs(t *testing.T) {
	t.Parallel()
	fake := newFake(t, 10)
	base, kill := fake.serve("127.0.0.1:0")
	defer kill()
	j, _ := openJournal(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Run(context.Background(), Config{BaseURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 3, Seed: 1}, Deps{Solve: fakeSolve, Journal: j})
	if !errors.Is(err, errJournal) {
		t.Fatalf("error %v, want the journal's", err)
	}
	if len(fake.bookings) != 0 {
		t.Error("somebody booked on a promise that was not noted")
	}
}

func TestRun_DeadlineLeavesTheUnfinished(t *testing.T) {
	t.Parallel()
	fake := newFake(t, 10)
	fake.state = wire.RoomPaused
	base, kill := fake.serve("127.0.0.1:0")
	defer kill()
	r, err := Run(context.Background(), Config{
		BaseURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 10, Rate: 5, Seed: 1, SharedDocument: true, Deadline: time.Second,
	}, Deps{Solve: fakeSolve})
	if err != nil || r.Counts[Unfinished] != 10 || r.Fans != 10 {
		t.Fatalf("%v %+v", err, r)
	}
}

func TestKeep_ReplacesThoseWhoEndAndStopsCleanly(t *testing.T) {
	t.Parallel()
	fake := newFake(t, 1000)
	base, kill := fake.serve("127.0.0.1:0")
	defer kill()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	most := int64(0)
	r, err := Keep(ctx, Config{
		BaseURL: base, PayURL: base, Room: fakeRoom, Event: fakeEvent, Fans: 3, Rate: 50, Seed: 1, Mix: Mix{VanishersEarly: 1000},
		SharedDocument: true, ProgressEvery: 20 * time.Millisecond,
	}, Deps{Solve: fakeSolve, Progress: func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		alive := int64(0)
		for _, n := range p.States {
			alive += n
		}
		most = max(most, alive)
		if p.Counts[Vanished] >= 7 {
			cancel()
		}
	}})
	if err != nil || r.Counts[Vanished] < 7 {
		t.Fatalf("%v %+v", err, r)
	}
	if most > 3 {
		t.Errorf("%d fans lived at a time, want at most 3", most)
	}
}

func TestConfig_NamesTheFieldThatCannotWork(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]Config{
		"BaseURL":  {BaseURL: "localhost", Event: 1},
		"PayURL":   {BaseURL: "http://h", PayURL: "http://h/path", Event: 1},
		"Event":    {BaseURL: "http://h"},
		"Fans":     {BaseURL: "http://h", Event: 1, Fans: MaxFans + 1},
		"Mix":      {BaseURL: "http://h", Event: 1, Mix: Mix{Lapsers: 600, Decliners: 600}},
		"Networks": {BaseURL: "http://h", Event: 1, Networks: Networks{PerAddress: 9, PerNetwork: 3}},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := Run(context.Background(), Config{BaseURL: "http://h", Event: 1, Room: 1}, Deps{}); err == nil {
		t.Error("a room was accepted without a solver")
	}
}
