package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"fairgate/internal/wire"
)

const (
	ttl = 600 * time.Millisecond
	// long is so long that only the freed lock can be what a candidate notices.
	long = 30 * time.Second
	// longest bounds what must come in the end, on however busy a machine.
	longest = time.Minute
)

func request(holder byte) LeaseRequest {
	return LeaseRequest{Name: "orders/0", Holder: wire.ID{holder}, Address: "host:1", TTL: ttl}
}

func win(t *testing.T, db *DB, holder byte) *Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	l, err := db.Contend(ctx, request(holder))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Abandon)
	return l
}

// contendLater contends in the background.
func contendLater(t *testing.T, db *DB, holder byte) <-chan *Lease {
	r := request(holder)
	r.TTL = long
	won := make(chan *Lease, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*long)
	go func() {
		defer cancel()
		l, err := db.Contend(ctx, r)
		if err != nil {
			t.Error(err)
			l = nil
		} else {
			t.Cleanup(l.Abandon)
		}
		won <- l
	}()
	return won
}

// waitBlocked waits until a candidate waits for the lock.
func waitBlocked(t *testing.T, db *DB) {
	t.Helper()
	for {
		var n int
		err := db.Write.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'`).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestLease_FirstCandidateWinsAtOnceAndIsPublished(t *testing.T) {
	db := open(t)
	began := time.Now()
	l := win(t, db, 1)
	if d := time.Since(began); d > long/2 {
		t.Errorf("it took %s", d)
	}
	address, epoch, err := db.LeaseHolder(t.Context(), "orders/0")
	if err != nil || address != "host:1" || epoch != l.Epoch() || epoch != 1 {
		t.Fatalf("%q, epoch %d, %v", address, epoch, err)
	}
	if err := l.Renew(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	if _, epoch, _ := db.LeaseHolder(t.Context(), "orders/0"); epoch != 7 {
		t.Fatalf("the row knows epoch %d", epoch)
	}
}

func TestLease_GivenBackItIsTakenInMilliseconds(t *testing.T) {
	db := open(t)
	first := win(t, db, 1)
	won := contendLater(t, db, 2)
	waitBlocked(t, db)
	began := time.Now()
	if err := first.Release(t.Context(), wire.ID{}); err != nil {
		t.Fatal(err)
	}
	second := <-won
	if d := time.Since(began); second == nil || d > long/2 {
		t.Fatalf("%v after %s", second, d)
	}
	if second.Epoch() != 2 {
		t.Fatalf("epoch %d", second.Epoch())
	}
}

func TestLease_HolderThatDiesIsReplacedInMilliseconds(t *testing.T) {
	db := open(t)
	first := win(t, db, 1)
	won := contendLater(t, db, 2)
	waitBlocked(t, db)
	began := time.Now()
	first.close()
	if second := <-won; second == nil || time.Since(began) > long/2 {
		t.Fatalf("%v after %s", second, time.Since(began))
	}
	if err := first.Renew(t.Context(), 1); !errors.Is(err, ErrLeaseLost) {
		t.Fatalf("the old holder's renewal: %v", err)
	}
}

func TestLease_OnceGivenUpItIsNotRenewed(t *testing.T) {
	db := open(t)
	for _, end := range []func(*Lease){(*Lease).Abandon, func(l *Lease) { _ = l.Release(t.Context(), wire.ID{}) }} {
		l := win(t, db, 1)
		end(l)
		if err := l.Renew(t.Context(), 9); !errors.Is(err, ErrLeaseLost) || l.conn != nil {
			t.Fatalf("renewed: %v", err)
		}
	}
}

func TestLease_HolderThatHangsIsReplacedAfterOneTTL(t *testing.T) {
	db := open(t)
	first := win(t, db, 1)
	began := time.Now()
	second := win(t, db, 2)
	if d := time.Since(began); d < ttl || d > 10*ttl {
		t.Errorf("replaced after %s", d)
	}
	if err := second.Renew(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	// Its backend was ended; once it wakes up it finds the row taken.
	for range 2 {
		if err := first.Renew(t.Context(), 1); err == nil {
			t.Fatal("the old holder renewed")
		} else if errors.Is(err, ErrLeaseLost) {
			return
		}
	}
	t.Fatal("the old holder was not told")
}

func TestLease_HolderThatLostItsSessionButRenewsKeepsTheLease(t *testing.T) {
	db := open(t)
	first := win(t, db, 1)
	// As after a restart of the database: no session has the lock, the row is there, the holder lives.
	first.close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*ttl)
	defer cancel()
	lost := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := first.Renew(ctx, 1); err != nil && ctx.Err() == nil {
				lost <- err
				return
			}
			time.Sleep(ttl / 5)
		}
		lost <- nil
	}()
	if l, err := db.Contend(ctx, request(2)); err == nil {
		l.Abandon()
		t.Fatal("a candidate took the lease of a living holder")
	}
	if err := <-lost; err != nil {
		t.Fatal(err)
	}
}

func TestLease_OfManyCandidatesOneWins(t *testing.T) {
	db := open(t)
	won := make(chan *Lease, 8)
	ctx, cancel := context.WithTimeout(t.Context(), 2*ttl)
	defer cancel()
	for i := range 5 {
		go func() {
			l, err := db.Contend(ctx, request(byte(i+1)))
			if err != nil {
				l = nil
			}
			won <- l
		}()
	}
	first := <-won
	if first == nil {
		t.Fatal("nobody won")
	}
	defer first.Abandon()
	for range 4 {
		if err := first.Renew(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		select {
		case l := <-won:
			if l != nil {
				t.Fatal("two won")
			}
		case <-time.After(ttl / 4):
		}
	}
	cancel()
	time.Sleep(ttl / 4)
}
