package payment

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fairgate/internal/embedded/testredis"
)

func shared(t *testing.T, addr string, cfg BudgetConfig) *SharedBudget {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialTimeout: 100 * time.Millisecond})
	t.Cleanup(func() { _ = client.Close() })
	return NewSharedBudget(cfg, "sk_test_of_one_account", client, nil)
}

// spend takes turns with n callers each until the time is over, and counts them.
func spend(budgets []*SharedBudget, endpoint string, class Class, callers int, length time.Duration) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var turns atomic.Int64
	var all sync.WaitGroup
	for _, b := range budgets {
		for range callers {
			all.Go(func() {
				for b.Wait(ctx, endpoint, class) == nil {
					turns.Add(1)
				}
			})
		}
	}
	all.Wait()
	return turns.Load()
}

func TestSharedBudget_ProcessesShareOneRate(t *testing.T) {
	addr := testredis.Start(t).Addr()
	cfg := BudgetConfig{PerSecond: 100, EndpointPerSecond: 40}
	budgets := []*SharedBudget{shared(t, addr, cfg), shared(t, addr, cfg), shared(t, addr, cfg)}
	// A full bucket, and what flows in within a second and a half.
	if n := spend(budgets, "a", ClassCapture, 4, 1500*time.Millisecond); n < 60 || n > 105 {
		t.Errorf("%d turns, want about 100", n)
	}
}

func TestSharedBudget_EarlierClassesOfAnyProcessGoFirst(t *testing.T) {
	addr := testredis.Start(t).Addr()
	cfg := BudgetConfig{PerSecond: 40, EndpointPerSecond: 1000}
	one, other := shared(t, addr, cfg), shared(t, addr, cfg)
	spend([]*SharedBudget{one}, "warm", ClassCreate, 8, 300*time.Millisecond)
	var creates, refunds int64
	var both sync.WaitGroup
	both.Go(func() { creates = spend([]*SharedBudget{one}, "create", ClassCreate, 8, 1500*time.Millisecond) })
	both.Go(func() { refunds = spend([]*SharedBudget{other}, "refund", ClassRefund, 8, 1500*time.Millisecond) })
	both.Wait()
	if creates < 4*max(1, refunds) {
		t.Errorf("%d creations and %d refunds", creates, refunds)
	}
}

func TestSharedBudget_WithoutRedisGoesByItsShare(t *testing.T) {
	server := testredis.Start(t)
	b := shared(t, server.Addr(), BudgetConfig{PerSecond: 100, EndpointPerSecond: 80, Processes: 4})
	server.Kill()
	if n := spend([]*SharedBudget{b}, "a", ClassCapture, 2, time.Second); n < 15 || n > 45 {
		t.Errorf("%d turns, want about 40: a fourth of the rate, and a full bucket", n)
	}
	server.Restart()
	time.Sleep(redisAgain + 50*time.Millisecond) // the time that the rule names
	if n := spend([]*SharedBudget{b}, "a", ClassCapture, 2, 500*time.Millisecond); n < 60 {
		t.Errorf("%d turns after Redis came back", n)
	}
}

func TestSharedBudget_ARefusedEndpointRestsEverywhere(t *testing.T) {
	addr := testredis.Start(t).Addr()
	one, other := shared(t, addr, BudgetConfig{}), shared(t, addr, BudgetConfig{})
	one.Slow("a")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := other.Wait(ctx, "a", ClassCreate); err == nil {
		t.Error("the endpoint was called while it rests")
	}
	if err := other.Wait(t.Context(), "b", ClassCreate); err != nil {
		t.Error(err)
	}
}
