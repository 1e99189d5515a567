package limit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// wall is a clock that tests move by hand.
type wall struct{ ns atomic.Int64 }

func newWall() *wall { w := &wall{}; w.ns.Store(1_800_000_000_000_000_000); return w }

func (w *wall) now() time.Time          { return time.Unix(0, w.ns.Load()) }
func (w *wall) advance(d time.Duration) { w.ns.Add(int64(d)) }

func one(r Rule) Config { return Config{Keys: 1000, Actions: map[string][]Rule{"try": {r}}} }

func newLimiter(t testing.TB, c Config, d Deps) *Limiter {
	t.Helper()
	l, err := New(c, d)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func from(a string) Subject { return Subject{Address: netip.MustParseAddr(a)} }

func allowed(l *Limiter, s Subject, calls int) (n int) {
	for range calls {
		if l.Take(context.Background(), "try", s).Allowed {
			n++
		}
	}
	return n
}

// counted is a counter's value, summed over its labels.
func counted(t testing.TB, g prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestLimiter_BurstThenRate(t *testing.T) {
	w := newWall()
	l := newLimiter(t, one(Rule{Name: "try", Key: KeyAddress, Rate: 60, Burst: 5}), Deps{Clock: w.now})
	if n := allowed(l, from("192.0.2.1"), 20); n != 5 {
		t.Fatalf("%d at once, want 5", n)
	}
	d := l.Take(t.Context(), "try", from("192.0.2.1"))
	if d.Allowed || d.RetryAfter != time.Second || d.Remaining != 0 || d.Reset != 5*time.Second {
		t.Fatalf("%+v", d)
	}
	w.advance(d.RetryAfter)
	if n := allowed(l, from("192.0.2.1"), 20); n != 1 {
		t.Fatalf("%d after RetryAfter, want 1", n)
	}
	total := 0
	for range 600 {
		w.advance(100 * time.Millisecond)
		total += allowed(l, from("192.0.2.1"), 3)
	}
	if total != 60 {
		t.Fatalf("%d in a minute, want 60", total)
	}
}

func TestLimiter_AFailureCountsAsSeveralCallsAndLocksNobodyOutForLong(t *testing.T) {
	w := newWall()
	l := newLimiter(t, one(Rule{Name: "try", Key: KeyAddress, Rate: 60, Burst: 20, Failed: 4}), Deps{Clock: w.now})
	bad, good := from("192.0.2.1"), from("192.0.2.2")
	tries := 0
	for ; l.Take(t.Context(), "try", bad).Allowed; tries++ {
		l.Charge("try", bad)
	}
	if tries != 4 {
		t.Errorf("%d tries that failed, want 4: five calls each", tries)
	}
	for range 100 { // of requests that were under way
		l.Charge("try", bad)
	}
	d := l.Take(t.Context(), "try", bad)
	if d.Allowed || d.RetryAfter != 5*time.Second {
		t.Errorf("after many more failures: %+v", d)
	}
	if n := allowed(l, good, 30); n != 20 {
		t.Errorf("a neighbour has %d calls", n)
	}
	w.advance(5 * time.Second)
	if n := allowed(l, bad, 5); n != 1 {
		t.Errorf("%d calls when the charge is over, want 1", n)
	}
	total := 0
	for range 300 {
		w.advance(time.Second)
		if l.Take(t.Context(), "try", bad).Allowed {
			l.Charge("try", bad)
			total++
		}
	}
	if total < 58 || total > 61 {
		t.Errorf("%d tries in 300 s, want one in five", total)
	}
	l.Charge("other", bad) // rules without the charge have none
	if n := int(l.Take(t.Context(), "other", bad).Remaining); n != 199 {
		t.Errorf("%d calls remain elsewhere", n)
	}
}

func TestLimiter_FailuresOfKeysWithoutRoomCountInTheirNetwork(t *testing.T) {
	w := newWall()
	l := newLimiter(t, Config{Keys: 1, Actions: map[string][]Rule{"try": {{Name: "try", Key: KeyAddress, Rate: 60, Burst: 20, Failed: 9}}}}, Deps{Clock: w.now})
	worked := 0
	for i := range 100_000 { // far more than there are slots, all of one /24's 256 addresses and beyond
		s := Subject{Address: netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)})}
		if l.Take(t.Context(), "try", s).Allowed {
			worked++
			l.Charge("try", s)
		}
	}
	// Slots hold two tries each, and so do the buckets of networks that the rest shares.
	if most := 2 * (shards*probes + shards*int(l.table.over+1)); worked > most {
		t.Errorf("%d tries, want at most %d", worked, most)
	}
}

func TestLimiter_KeysAreWhatTheRuleSays(t *testing.T) {
	same := func(kind KeyKind, a, b Subject) bool {
		l := newLimiter(t, one(Rule{Name: "try", Key: kind, Rate: 1, Burst: 1}), Deps{Clock: newWall().now})
		return allowed(l, a, 1)+allowed(l, b, 1) == 1
	}
	v1, v2 := [16]byte{1}, [16]byte{2}
	a := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		kind KeyKind
		a, b Subject
		want bool
	}{
		{KeyAddress, from("192.0.2.1"), from("192.0.2.2"), false},
		{KeyAddress, from("192.0.2.1"), from("::ffff:192.0.2.1"), true},
		{KeyAddress, from("2001:db8:0:1::1"), from("2001:db8:0:ff:5::9"), true},
		{KeyAddress, from("2001:db8:0:1::1"), from("2001:db8:0:100::1"), false},
		{KeyAddress, from("fe80::1%eth0"), from("fe80::1%eth1"), true},
		{KeyAddress, Subject{}, Subject{}, true},
		{KeyNetwork, from("192.0.2.1"), from("192.0.2.200"), true},
		{KeyNetwork, from("192.0.2.1"), from("192.0.3.1"), false},
		{KeyNetwork, from("2001:db8:0:1::1"), from("2001:db8:0:100::1"), true},
		{KeyBlock, from("2001:db8:1::1"), from("2001:db8:ffff::1"), true},
		{KeyBlock, from("192.0.2.1"), from("192.0.99.1"), true},
		{KeyAll, from("192.0.2.1"), from("198.51.100.1"), true},
		{KeyUser, Subject{Address: a, User: "a"}, Subject{Address: a, User: "b"}, false},
		{KeyUser, from("192.0.2.1"), from("198.51.100.1"), false},
		{KeyUser, from("192.0.2.1"), from("192.0.2.1"), true},
		{KeyVisitor, Subject{Address: a, Visitor: v1}, Subject{Address: a, Visitor: v2}, false},
		{KeyVisitor, Subject{Address: a, Visitor: v1}, Subject{Visitor: v1}, true},
	} {
		if got := same(c.kind, c.a, c.b); got != c.want {
			t.Errorf("%s: %+v and %+v share a bucket: %v, want %v", c.kind, c.a, c.b, got, c.want)
		}
	}
}

func TestLimiter_CarrierAddressMayDoMore(t *testing.T) {
	c := one(Rule{Name: "try", Key: KeyAddress, Rate: 60, Burst: 2})
	c.CarrierFactor = 10
	l := newLimiter(t, c, Deps{Clock: newWall().now})
	s := from("192.0.2.1")
	s.Carrier = true
	if n := allowed(l, s, 100); n != 20 {
		t.Fatalf("%d, want 20", n)
	}
}

func TestLimiter_UnknownActionHasTheDefaultRules(t *testing.T) {
	l := newLimiter(t, Config{Actions: map[string][]Rule{ActionDefault: {{Name: "d", Key: KeyAll, Rate: 1}}}},
		Deps{Clock: newWall().now})
	if !l.Take(t.Context(), "what", Subject{}).Allowed || l.Take(t.Context(), "ever", Subject{}).Allowed {
		t.Fatal("expected one shared bucket")
	}
}

func TestLimiter_FloodOfFreshKeysIsNeverWavedThrough(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := one(Rule{Name: "try", Key: KeyVisitor, Rate: 1, Per: time.Hour, Burst: 1})
	c.Keys = 1
	w := newWall()
	l := newLimiter(t, c, Deps{Clock: w.now, Metrics: reg})
	s := from("192.0.2.1")
	slots := len(l.table.shards) * int(l.table.mask+1)
	flood := func(start uint64) (passed int) {
		for i := range uint64(20 * slots) {
			binary.LittleEndian.PutUint64(s.Visitor[:], start+i)
			passed += allowed(l, s, 1)
		}
		return passed
	}
	if n := flood(1); n > slots+1 {
		t.Fatalf("%d fresh visitors of one network passed, the table has %d slots", n, slots)
	}
	if counted(t, reg, "fairgate_limit_crowded_total") < float64(18*slots) {
		t.Error("crowding was not counted")
	}
	if n := flood(1 << 40); n > slots/100 {
		t.Fatalf("%d more passed while the table is full", n)
	}
	other := from("198.51.100.7")
	other.Visitor = [16]byte{15: 9}
	if !l.Take(t.Context(), "try", other).Allowed {
		t.Error("another network suffers from the flood")
	}
	w.advance(2 * time.Hour)
	if n := flood(1 << 50); n < slots*9/10 {
		t.Fatalf("only %d passed after all buckets were full again: slots are not taken over", n)
	}
}

func TestLimiter_ConcurrentCallsNeverExceedTheBurst(t *testing.T) {
	l := newLimiter(t, one(Rule{Name: "try", Key: KeyAddress, Rate: 1, Per: time.Hour, Burst: 100}),
		Deps{Clock: newWall().now})
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { passed.Add(int64(allowed(l, from("192.0.2.1"), 50))) })
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Fatalf("%d passed, want 100", passed.Load())
	}
}

func TestDecision_HeadersFollowTheDraft(t *testing.T) {
	l := newLimiter(t, one(Rule{Name: "try", Key: KeyAddress, Rate: 60, Burst: 5}), Deps{Clock: newWall().now})
	d := l.Take(t.Context(), "try", from("192.0.2.1"))
	policy, limit := d.Headers()
	if policy != `"try";q=5;w=5` || limit != `"try";r=4;t=1` {
		t.Errorf("%s: %s", policy, limit)
	}
	if got := Seconds(1100 * time.Millisecond); got != "2" {
		t.Errorf("seconds %s", got)
	}
}

func TestConfig_WrongRulesAreNamed(t *testing.T) {
	good := Rule{Name: "x", Key: KeyAddress, Rate: 1}
	for want, change := range map[string]func(*Rule){
		"name":   func(r *Rule) { r.Name = "a b" },
		"key":    func(r *Rule) { r.Key = "mac" },
		"rate":   func(r *Rule) { r.Rate = 0 },
		"failed": func(r *Rule) { r.Failed = -1 },
		"burst":  func(r *Rule) { r.Burst = -1 },
		"per":    func(r *Rule) { r.Per = time.Millisecond },
		"fill":   func(r *Rule) { r.Per, r.Burst = 24*time.Hour, 1_000_000 },
	} {
		r := good
		change(&r)
		_, err := New(one(r), Deps{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "actions.try") {
			t.Errorf("%s: %v", want, err)
		}
	}
	twice := Config{Actions: map[string][]Rule{"a": {good}, "b": {good}}}
	if _, err := New(twice, Deps{}); err == nil {
		t.Error("two rules with one name")
	}
}

func TestDefaultRules_CoverTheActions(t *testing.T) {
	rules, err := DefaultRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"arrive", "join", "enter", "booking", "pay", "login", ActionDefault} {
		if len(rules[a]) == 0 {
			t.Errorf("%s has no rules", a)
		}
	}
}

func TestSip_PublishedVectors(t *testing.T) {
	var key [16]byte
	var text [15]byte
	for i := range key {
		key[i] = byte(i)
	}
	for i := range text {
		text[i] = byte(i)
	}
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		if got := newSipKey(key).sum(text[:n]); got != want {
			t.Errorf("%d bytes: %x, want %x", n, got, want)
		}
	}
}

// failing is a Store whose server is away; it counts how often it is asked.
type failing struct {
	asked atomic.Int64
	err   atomic.Pointer[error]
}

func (f *failing) Take(context.Context, string, int64, time.Duration) (Count, error) {
	f.asked.Add(1)
	if err := f.err.Load(); err != nil {
		return Count{}, *err
	}
	return Count{Reached: true, Reset: 3 * time.Second}, nil
}

func TestShared_AbsentStoreLeavesTheDecisionToTierOneAndIsNotAsked(t *testing.T) {
	w, store := newWall(), &failing{}
	away := errors.New("away")
	store.err.Store(&away)
	l := newLimiter(t, one(Rule{Name: "try", Key: KeyAddress, Rate: 60, Burst: 50, Shared: true}),
		Deps{Clock: w.now, Shared: store, Secret: make([]byte, 16)})
	if n := allowed(l, from("192.0.2.1"), 60); n != 50 {
		t.Fatalf("%d passed, want tier one's 50", n)
	}
	if store.asked.Load() != openAfter {
		t.Fatalf("asked %d times, want %d", store.asked.Load(), openAfter)
	}
	w.advance(firstPause)
	allowed(l, from("192.0.2.2"), 10)
	if store.asked.Load() != openAfter+1 {
		t.Fatalf("asked %d times after the pause, want one probe more", store.asked.Load())
	}
	store.err.Store(nil)
	w.advance(2 * firstPause)
	if d := l.Take(t.Context(), "try", from("192.0.2.3")); d.Allowed || !d.Shared || d.RetryAfter != 3*time.Second {
		t.Fatalf("store is back and refuses, got %+v", d)
	}
}

func TestShared_CallerThatGoesAwayIsNotAFailure(t *testing.T) {
	store := &failing{}
	gone := context.Canceled
	store.err.Store(&gone)
	l := newLimiter(t, one(Rule{Name: "try", Key: KeyAddress, Rate: 60, Burst: 50, Shared: true}),
		Deps{Clock: newWall().now, Shared: store, Secret: make([]byte, 16)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		l.Take(ctx, "try", from("192.0.2.1"))
	}
	if store.asked.Load() != 10 {
		t.Fatalf("asked %d times, want 10: the breaker opened", store.asked.Load())
	}
}

func FuzzTake(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, []byte("v"), "user", int64(5))
	f.Add([]byte("0123456789abcdef"), []byte{}, "", int64(-5))
	w := newWall()
	l := newLimiter(f, Config{Keys: 10}, Deps{Clock: w.now})
	f.Fuzz(func(t *testing.T, address, visitor []byte, user string, step int64) {
		s := Subject{User: user}
		s.Address, _ = netip.AddrFromSlice(address)
		copy(s.Visitor[:], visitor)
		w.advance(time.Duration(step % int64(time.Hour)))
		for _, a := range []string{"arrive", "booking", "enter"} {
			d := l.Take(context.Background(), a, s)
			if d.Remaining < 0 || d.Remaining > d.Limit || d.RetryAfter < 0 || d.Allowed != (d.RetryAfter == 0) {
				t.Fatalf("%+v", d)
			}
		}
	})
}

// cpu is the processor time that this process has used: what else the machine does counts less than by the clock.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkLimiter_TakeMillionKeys(b *testing.B) {
	reg := prometheus.NewRegistry()
	l := newLimiter(b, Config{Keys: 1_000_000, Actions: map[string][]Rule{
		"try": {{Name: "try", Key: KeyAddress, Rate: 6, Burst: 60}}}}, Deps{Metrics: reg})
	subject := func(i uint32) Subject {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], i%1_000_000*2654435761) // odd factor: a million different addresses
		return Subject{Address: netip.AddrFrom4(a)}
	}
	for i := range uint32(1_000_000) {
		l.Take(context.Background(), "try", subject(i))
	}
	b.ReportAllocs()
	ctx, began := context.Background(), cpu(b)
	for i := uint32(0); b.Loop(); i++ {
		l.Take(ctx, "try", subject(i))
	}
	b.ReportMetric(float64((cpu(b)-began).Nanoseconds())/float64(b.N), "bench:guard.limit:ns/decision")
	b.ReportMetric(counted(b, reg, "fairgate_limit_crowded_total"), "crowded")
}

func ExampleDecision_Headers() {
	fmt.Println(Decision{Rule: "login-address", Limit: 5, Window: 30 * time.Second, Remaining: 4, Reset: 6 * time.Second}.Headers())
	// Output: "login-address";q=5;w=30 "login-address";r=4;t=6
}
