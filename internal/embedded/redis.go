package embedded

import (
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisTick is how often keys of the in-process Redis age: its TTLs are right
// to within this.
const redisTick = 50 * time.Millisecond

// Redis is a Redis server inside this process. It keeps nothing over a
// restart, which is all that Fairgate asks of Redis.
type Redis struct {
	server *miniredis.Miniredis
	stop   chan struct{}
	done   chan struct{}
}

// StartRedis serves on addr (host:port, port 0 or "" for a free one).
func StartRedis(addr string) (*Redis, error) {
	if addr == "" {
		addr = loopback
	}
	// The server opens its own listener; ask for the port first, to be able
	// to say what is wrong with it.
	ln, err := listen("embedded redis", addr)
	if err != nil {
		return nil, err
	}
	addr = ln.Addr().String()
	ln.Close()
	r := &Redis{server: miniredis.NewMiniRedis(), stop: make(chan struct{}), done: make(chan struct{})}
	if err := r.server.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("starting embedded redis on %s: %w", addr, err)
	}
	go r.age()
	return r, nil
}

// age lets time pass for the server, which does not do so by itself.
func (r *Redis) age() {
	defer close(r.done)
	t := time.NewTicker(redisTick)
	defer t.Stop()
	for last := time.Now(); ; {
		select {
		case <-r.stop:
			return
		case now := <-t.C:
			r.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Addr is host:port.
func (r *Redis) Addr() string { return r.server.Addr() }

// Close stops the server and forgets everything.
func (r *Redis) Close() error {
	close(r.stop)
	<-r.done
	r.server.Close()
	return nil
}
