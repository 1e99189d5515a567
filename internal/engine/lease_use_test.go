package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// narrow is a lease whose connection serves one call at a time, like every connection. Its first renewal by a leader waits
// until it is let go, and then finds the lease lost, as one does that was frozen meanwhile.
type narrow struct {
	Lease
	rented  atomic.Bool
	overlap atomic.Bool
	renews  chan struct{} // closed when that renewal has begun
	letGo   chan struct{}
	called  atomic.Bool
}

const narrowCall = 50 * time.Millisecond

// use is one call's time on the connection.
func (n *narrow) use(call func()) {
	if n.rented.Swap(true) {
		n.overlap.Store(true)
	}
	call()
	n.rented.Store(false)
}

func (n *narrow) Renew(ctx context.Context, epoch uint64) (err error) {
	n.use(func() {
		if epoch == 0 || n.called.Swap(true) {
			err = n.Lease.Renew(ctx, epoch)
			return
		}
		close(n.renews)
		<-n.letGo
		err = store.ErrLeaseLost
	})
	return err
}

func (n *narrow) Release(ctx context.Context, heir wire.ID) (err error) {
	n.use(func() {
		time.Sleep(narrowCall) // what would come meanwhile shall come
		err = n.Lease.Release(ctx, heir)
	})
	return err
}

func (n *narrow) Abandon() { n.use(n.Lease.Abandon) }

// narrowLeases gives out one narrow lease, and then ordinary ones.
type narrowLeases struct {
	Leases
	*narrow
	given atomic.Bool
}

func (l *narrowLeases) Contend(ctx context.Context, name string, holder wire.ID, address string, led func() wire.ID) (Lease, error) {
	won, err := l.Leases.Contend(ctx, name, holder, address, led)
	if err != nil || l.given.Swap(true) {
		return won, err
	}
	l.Lease = won
	return l.narrow, nil
}

func TestRunner_ALeaseLostIsAbandonedInTurn(t *testing.T) {
	w := newWorld(t)
	leases := &narrowLeases{
		Leases: PostgresLeases(w.db, w.cfg.Tuning.LeaseTTL),
		narrow: &narrow{renews: make(chan struct{}), letGo: make(chan struct{})},
	}
	letGo := sync.OnceFunc(func() { close(leases.letGo) })
	p := w.start(func(_ *Config, d *Deps) { d.Leases = leases })
	defer letGo()
	w.until("it leads", p.Leading)
	<-leases.renews
	// The lease is given back while its renewal has not been answered.
	inLoop := func(look func()) {
		done := make(chan struct{})
		p.events <- func() error { look(); close(done); return nil }
		<-done
	}
	handing := false
	inLoop(func() { handing = p.replica.HandOver(p.mono()) })
	inLoop(func() {}) // between the two the loop did what the replica wanted
	letGo()
	if !handing {
		t.Fatal("there was nothing to give back")
	}
	w.until("it leads with another lease", func() (again bool) {
		inLoop(func() { again = p.lease != nil && p.lease != Lease(leases.narrow) })
		return again
	})
	if leases.overlap.Load() {
		t.Fatal("two calls of one lease at the same time")
	}
}
