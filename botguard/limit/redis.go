package limit

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	redisstore "github.com/ulule/limiter/v3/drivers/store/redis"
)

const (
	// RedisPrefix begins every key that tier two writes; a key lives as long as its window.
	RedisPrefix = "fairgate:limit"
	redisPool   = 32
)

// Redis is a Store of ulule/limiter windows on go-redis. It has a connection pool of its own, with deadlines short
// enough for a limiter; the server may be away when it is made and at any time after.
type Redis struct {
	client redis.UniversalClient
	ready  chan struct{} // holds one permit: whoever has it may load the scripts
	store  limiter.Store // nil until the scripts are loaded; guarded by ready
}

// NewRedis takes where and how to connect from o; deadlines, retries and pool size are set here. timeout 0 means
// DefaultTimeout. Nothing is dialled before the first call. Close it.
func NewRedis(o redis.UniversalOptions, timeout time.Duration) *Redis {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = timeout, timeout, timeout, timeout
	o.DialerRetries, o.MaxRetries, o.PoolSize, o.ContextTimeoutEnabled = 1, -1, redisPool, true
	r := &Redis{client: redis.NewUniversalClient(&o), ready: make(chan struct{}, 1)}
	r.ready <- struct{}{}
	return r
}

// Close closes the connections.
func (r *Redis) Close() error { return r.client.Close() }

// Take counts one call; see Store. limiter writes the key's expiry in the same script as its first count.
func (r *Redis) Take(ctx context.Context, key string, limit int64, window time.Duration) (Count, error) {
	store, err := r.loaded(ctx)
	if err != nil {
		return Count{}, err
	}
	c, err := store.Get(ctx, key, limiter.Rate{Period: window, Limit: limit})
	if err != nil {
		return Count{}, fmt.Errorf("count in redis: %w", err)
	}
	reset := time.Until(time.Unix(c.Reset, 0))
	return Count{Reached: c.Reached, Remaining: c.Remaining, Reset: min(max(reset, 0), window)}, nil
}

// loaded returns the store, made by the first call that reaches the server.
func (r *Redis) loaded(ctx context.Context) (limiter.Store, error) {
	select {
	case <-r.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for redis: %w", ctx.Err())
	}
	defer func() { r.ready <- struct{}{} }()
	if r.store != nil {
		return r.store, nil
	}
	store, err := redisstore.NewStoreWithOptions(r.client, limiter.StoreOptions{Prefix: RedisPrefix})
	if err != nil {
		return nil, fmt.Errorf("load scripts into redis: %w", err)
	}
	r.store = store
	return store, nil
}
