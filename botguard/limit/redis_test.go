package limit

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fairgate/internal/embedded/testredis"
)

// edge is a limiter on a server with a generous tier one, so that tier two is what decides.
func edge(t *testing.T, address string, r Rule) *Limiter {
	t.Helper()
	store := NewRedis(redis.UniversalOptions{Addrs: []string{address}}, 0)
	t.Cleanup(func() { store.Close() })
	return newLimiter(t, one(r), Deps{Shared: store, Secret: []byte("sixteen bytes and more")})
}

func TestRedis_EdgesShareOneWindow(t *testing.T) {
	address := testredis.Addr(t)
	r := Rule{Name: "try", Key: KeyUser, Rate: 10, Burst: 10, Per: time.Minute, Shared: true}
	edges := []*Limiter{edge(t, address, r), edge(t, address, r), edge(t, address, r)}
	total := 0
	for range 4 {
		for _, l := range edges {
			total += allowed(l, Subject{User: "fan@example.com"}, 3)
		}
	}
	if total != 20 {
		t.Fatalf("%d allowed by three edges, want rate + burst = 20", total)
	}
	d := edge(t, address, r).Take(t.Context(), "try", Subject{User: "fan@example.com"})
	if d.Allowed || !d.Shared || d.Limit != 20 || d.RetryAfter < time.Second || d.RetryAfter > time.Minute {
		t.Fatalf("%+v", d)
	}
	if !edges[0].Take(t.Context(), "try", Subject{User: "another"}).Allowed {
		t.Error("another user suffers")
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 2 {
		t.Fatal(keys, err)
	}
	for _, k := range keys {
		if ttl := client.PTTL(t.Context(), k).Val(); ttl <= 0 || ttl > time.Minute {
			t.Errorf("%s lives %s", k, ttl)
		}
		if !strings.HasPrefix(k, RedisPrefix+":try:") || strings.Contains(k, "fan") {
			t.Errorf("key %s", k)
		}
	}
}

func TestRedis_ConcurrentEdgesNeverExceedTheWindow(t *testing.T) {
	address := testredis.Addr(t)
	r := Rule{Name: "try", Key: KeyUser, Rate: 20, Burst: 30, Per: time.Hour, Shared: true}
	var mu sync.Mutex
	var wg sync.WaitGroup
	total := 0
	for range 4 {
		l := edge(t, address, r)
		allowed(l, Subject{User: "warm"}, 1)
		wg.Go(func() {
			n := allowed(l, Subject{User: "u"}, 30)
			mu.Lock()
			total += n
			mu.Unlock()
		})
	}
	wg.Wait()
	if total != 50 {
		t.Fatalf("%d allowed, want 50", total)
	}
}

func TestRedis_WindowEnds(t *testing.T) {
	address := testredis.Addr(t)
	r := Rule{Name: "try", Key: KeyAll, Rate: 1, Burst: 2, Per: time.Second, Shared: true}
	if n := allowed(edge(t, address, r), Subject{}, 2) + allowed(edge(t, address, r), Subject{}, 2); n != 3 {
		t.Fatalf("%d allowed by two edges, want rate + burst = 3", n)
	}
	time.Sleep(1100 * time.Millisecond)
	if d := edge(t, address, r).Take(t.Context(), "try", Subject{}); !d.Allowed {
		t.Fatalf("%+v", d)
	}
}

func TestRedis_ForgottenScriptsAreLoadedAgain(t *testing.T) {
	address := testredis.Addr(t)
	l := edge(t, address, Rule{Name: "try", Key: KeyAll, Rate: 100, Burst: 100, Shared: true})
	allowed(l, Subject{}, 1)
	client := redis.NewClient(&redis.Options{Addr: address})
	defer client.Close()
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	allowed(l, Subject{}, 1)
	if l.shared.breaker.failures != 0 {
		t.Fatal("a flushed script counts as a failure")
	}
	if v := client.Keys(t.Context(), "*").Val(); len(v) != 1 || client.Get(t.Context(), v[0]).Val() != "2" {
		t.Fatalf("%v", v)
	}
}

// quick says that a thousand calls, most of them refused by tier one or allowed by it alone, cost fans nothing.
func quick(t *testing.T, l *Limiter, what string) {
	t.Helper()
	start := time.Now()
	if n := allowed(l, Subject{User: what}, 1000); n != 500 {
		t.Errorf("%s: %d allowed, want tier one's 500", what, n)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("%s: a thousand calls took %s", what, took)
	}
}

func TestRedis_DeadHungOrLateServerCostsNothing(t *testing.T) {
	s := testredis.Start(t)
	s.Kill()
	w := newWall()
	store := NewRedis(redis.UniversalOptions{Addrs: []string{s.Addr()}}, 0)
	t.Cleanup(func() { store.Close() })
	l := newLimiter(t, one(Rule{Name: "try", Key: KeyUser, Rate: 1, Burst: 500, Per: time.Hour / 24, Shared: true}),
		Deps{Clock: w.now, Shared: store, Secret: make([]byte, 16)})
	asked := func(user string) bool {
		w.advance(longest)
		d := l.Take(t.Context(), "try", Subject{User: user})
		return d.Allowed && l.shared.breaker.pause == 0
	}
	quick(t, l, "not there yet")
	s.Restart()
	if !asked("there") {
		t.Fatal("the server came up and is not asked")
	}
	s.Pause()
	quick(t, l, "hung")
	s.Resume()
	if !asked("goes on") {
		t.Fatal("the server goes on and is not asked")
	}
	s.Kill()
	quick(t, l, "dead")
	s.Restart()
	if !asked("started again") {
		t.Fatal("the server is back and is not asked")
	}
}

func BenchmarkRedis_Take(b *testing.B) {
	store := NewRedis(redis.UniversalOptions{Addrs: []string{testredis.Addr(b)}}, 0)
	defer store.Close()
	for b.Loop() {
		if _, err := store.Take(b.Context(), "bench", 1<<40, time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}
