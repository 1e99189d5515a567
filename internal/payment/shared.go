package payment

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"fairgate/internal/conf"
)

const (
	// redisPatience is how long a call waits for Redis before it goes by this process's share.
	redisPatience = 150 * time.Millisecond
	// redisAgain is after how long Redis is asked again when it did not answer.
	redisAgain = time.Second
	// queued is how long, in Redis, a waiting call holds back calls of later classes without asking again.
	queued = 400 * time.Millisecond
	// slowDown is how long an endpoint rests after the provider said 429.
	slowDown = time.Second
)

// take is the bucket of all processes, on Redis' clock. KEYS: the account's bucket, the endpoint's, the endpoint's rest, the
// waiting calls of the classes before and of its own. ARGV: rates of both, the number of classes before, how many of ours
// wait, how long that holds, in ms. It answers in µs when to ask again; 0 is a turn.
const take = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local classes = tonumber(ARGV[3])
local function level(key, rate)
  local b = redis.call('HMGET', key, 'n', 'at')
  local n, at = tonumber(b[1]), tonumber(b[2])
  if not n then return rate end
  return math.min(rate, n + math.max(0, now - at) * rate / 1000000)
end
local rate, each = tonumber(ARGV[1]), tonumber(ARGV[2])
local all, one = level(KEYS[1], rate), level(KEYS[2], each)
local need = 1
for i = 1, classes do need = need + tonumber(redis.call('GET', KEYS[3 + i]) or '0') end
need = math.min(need, rate)
local wait = math.max(0, redis.call('PTTL', KEYS[3]) * 1000)
if all < need then wait = math.max(wait, (need - all) * 1000000 / rate) end
if one < 1 then wait = math.max(wait, (1 - one) * 1000000 / each) end
if wait > 0 then
  redis.call('SET', KEYS[4 + classes], ARGV[4], 'PX', ARGV[5])
  return math.max(1000, math.ceil(wait))
end
redis.call('HSET', KEYS[1], 'n', tostring(all - 1), 'at', string.format('%.0f', now))
redis.call('HSET', KEYS[2], 'n', tostring(one - 1), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], 5000)
redis.call('PEXPIRE', KEYS[2], 5000)
return 0`

// SharedBudget keeps one budget for all processes that use a merchant account, in Redis. Without Redis each process goes by
// a share of its own: money is slower then, never blocked.
type SharedBudget struct {
	cfg    BudgetConfig
	redis  redis.UniversalClient
	script *redis.Script
	prefix string
	share  *LocalBudget
	now    func() time.Time

	mu      sync.Mutex
	without time.Time // until when Redis is not asked
	waiting [classes]int
}

// NewSharedBudget shares a budget under a name that only the account's users know; the client is not closed here. now may
// be nil.
func NewSharedBudget(cfg BudgetConfig, account conf.Secret, client redis.UniversalClient, now func() time.Time) *SharedBudget {
	cfg = cfg.filled()
	if now == nil {
		now = time.Now
	}
	own := cfg
	own.PerSecond, own.EndpointPerSecond = max(1, cfg.PerSecond/cfg.Processes), max(1, cfg.EndpointPerSecond/cfg.Processes)
	sum := sha256.Sum256([]byte("budget " + account.Reveal()))
	return &SharedBudget{
		cfg: cfg, redis: client, script: redis.NewScript(take), prefix: "fairgate:budget:{" + hex.EncodeToString(sum[:8]) + "}:",
		share: NewLocalBudget(own, now), now: now,
	}
}

// Wait implements Budget.
func (b *SharedBudget) Wait(ctx context.Context, endpoint string, class Class) error {
	class = min(class, ClassReconcile)
	if !b.enter(class) {
		return ErrBudget
	}
	defer b.leave(class)
	for {
		if b.alone() {
			return b.share.Wait(ctx, endpoint, class)
		}
		wait, err := b.ask(ctx, endpoint, class)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", errTurn, ctx.Err())
		case err != nil:
			b.lost()
			continue
		case wait == 0:
			return nil
		}
		t := time.NewTimer(min(wait, queued/2))
		select {
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("%w: %w", errTurn, ctx.Err())
		case <-t.C:
		}
	}
}

// ask tries to take a turn.
func (b *SharedBudget) ask(ctx context.Context, endpoint string, class Class) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	keys := []string{b.prefix + "all", b.prefix + "at:" + endpoint, b.prefix + "rest:" + endpoint}
	for c := range class + 1 {
		keys = append(keys, b.prefix+"wait:"+c.String())
	}
	b.mu.Lock()
	ours := b.waiting[class]
	b.mu.Unlock()
	us, err := b.script.Run(ctx, b.redis, keys, b.cfg.PerSecond, b.cfg.EndpointPerSecond, int(class), ours, queued.Milliseconds()).Int64()
	return time.Duration(us) * time.Microsecond, err
}

// Slow makes every process leave an endpoint alone for a moment: the provider said 429.
func (b *SharedBudget) Slow(endpoint string) {
	b.share.Slow(endpoint)
	if b.alone() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), redisPatience)
	defer cancel()
	if err := b.redis.Set(ctx, b.prefix+"rest:"+endpoint, 1, slowDown).Err(); err != nil {
		b.lost()
	}
}

func (b *SharedBudget) enter(class Class) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := 0
	for _, n := range b.waiting {
		total += n
	}
	if total >= b.cfg.MaxWaiting {
		return false
	}
	b.waiting[class]++
	return true
}

func (b *SharedBudget) leave(class Class) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting[class]--
}

// alone says that Redis did not answer a moment ago.
func (b *SharedBudget) alone() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Before(b.without)
}

func (b *SharedBudget) lost() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.without = b.now().Add(redisAgain)
}
