package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/wire"
)

// candidates contend in the background, each as the process of its number, until the test ends.
func candidates(t *testing.T, db *DB, change func(n byte, r *LeaseRequest), numbers ...byte) <-chan *Lease {
	t.Helper()
	won := make(chan *Lease, len(numbers))
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for _, n := range numbers {
		r := request(n)
		r.Candidate = wire.ID{n}
		if change != nil {
			change(n, &r)
		}
		group.Go(func() {
			if l, err := db.Contend(ctx, r); err == nil {
				won <- l
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		group.Wait()
		close(won)
		for l := range won {
			l.Abandon()
		}
	})
	return won
}

// waitBlockedBy waits until n candidates wait for the lock.
func waitBlockedBy(t *testing.T, db *DB, n int) {
	t.Helper()
	began := time.Now()
	for have := 0; have < n; time.Sleep(2 * time.Millisecond) {
		if time.Since(began) > longest {
			t.Fatalf("%d wait for a lock after %s, want %d", have, longest, n)
		}
		err := db.Write.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
			WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted`).Scan(&have)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLease_GivenBackItGoesToTheHeir(t *testing.T) {
	db := open(t)
	for heir := byte(2); heir <= 5; heir++ {
		t.Run(string('0'+rune(heir)), func(t *testing.T) {
			l := win(t, db, 1)
			won := candidates(t, db, func(_ byte, r *LeaseRequest) { r.TTL = long }, 2, 3, 4, 5)
			waitBlockedBy(t, db, 4)
			l.patient = long / 4 // however busy this machine is
			began := time.Now()
			if err := l.Release(t.Context(), wire.ID{heir}); err != nil {
				t.Fatal(err)
			}
			next := <-won
			if next.request.Candidate != (wire.ID{heir}) || time.Since(began) > long/2 {
				t.Errorf("%d took it after %s", next.request.Candidate[0], time.Since(began))
			}
			if err := next.Release(t.Context(), wire.ID{99}); err != nil { // for the next round, from whom is not there
				t.Fatal(err)
			}
		})
	}
}

func TestLease_HeirWhoDoesNotComeIsNotWaitedForLong(t *testing.T) {
	db := open(t)
	l := win(t, db, 1)
	won := candidates(t, db, func(_ byte, r *LeaseRequest) { r.TTL = long }, 2, 3)
	waitBlockedBy(t, db, 2)
	began := time.Now()
	if err := l.Release(t.Context(), wire.ID{99}); err != nil {
		t.Fatal(err)
	}
	<-won
	if d := time.Since(began); d < heirFirst/2 || d > long/2 {
		t.Errorf("taken after %s", d)
	}
}

func TestLease_WhoLeadsLessComesFirst(t *testing.T) {
	db := open(t)
	for name, ends := range map[string]func(*Lease){
		"dies": (*Lease).close, "gives it back": func(l *Lease) { _ = l.Release(t.Context(), wire.ID{}) },
	} {
		// On a busy machine somebody may oversleep a handicap of milliseconds, and nothing is lost by that: so most rounds
		// decide.
		const rounds = 5
		wins := map[byte]int{}
		for range rounds {
			t.Run(name, func(t *testing.T) {
				l := win(t, db, 1)
				won := candidates(t, db, func(n byte, r *LeaseRequest) {
					r.Handicap = func() time.Duration { return time.Duration(5-n) * leaseWait / 3 }
					r.TTL = long
				}, 2, 3, 5)
				waitBlockedBy(t, db, 3)
				ends(l)
				next := <-won
				wins[next.request.Candidate[0]]++
				if err := next.Release(t.Context(), wire.ID{1}); err != nil {
					t.Fatal(err)
				}
			})
		}
		if wins[5] <= rounds/2 {
			t.Errorf("the holder %s: the lease went to %v", name, wins)
		}
	}
}

func TestLease_CandidatesLookingAtTheLockDoNotMakeEachOtherThinkTheHolderDied(t *testing.T) {
	db := open(t)
	holder := win(t, db, 1)
	holder.close() // as after a restart of the database: nobody has the lock, the holder lives
	won := candidates(t, db, func(_ byte, r *LeaseRequest) { r.TTL = long }, 2, 3, 4)
	for end := time.Now().Add(3 * ttl); time.Now().Before(end); time.Sleep(ttl / 5) {
		if err := holder.Renew(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		select {
		case l := <-won:
			t.Fatalf("%d took the lease of a living holder", l.request.Candidate[0])
		default:
		}
	}
	if !holder.locked {
		t.Error("the holder never got its lock again")
	}
}

func TestLease_TakenFromOneThatHangsItHasItsLockAgain(t *testing.T) {
	db := open(t)
	_ = win(t, db, 1) // hangs from now on
	won := candidates(t, db, nil, 2, 3)
	second := <-won
	// The other candidate has the lock most of the time, on a busy machine, and lets it go again and again.
	for end := time.Now().Add(2 * ttl); time.Now().Before(end) || !second.locked; time.Sleep(ttl / 5) {
		if err := second.Renew(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if time.Since(end) > longest {
			t.Fatal("it never got the lock")
		}
	}
	select {
	case l := <-won:
		t.Fatalf("%d took it from the one who had just taken it", l.request.Candidate[0])
	default:
	}
	waitBlockedBy(t, db, 1)
	began := time.Now()
	second.close() // and its own death is noticed at once
	<-won
	if d := time.Since(began); d > ttl/2 {
		t.Errorf("taken after %s", d)
	}
}

// A wait that times out in the moment in which the lock is freed leaves the lock with whoever was told that it has none.
func TestLease_ALockThatCameWithATimeoutIsLetGoToo(t *testing.T) {
	db := open(t)
	open := func(holder byte) *Lease {
		l := &Lease{request: request(holder), url: leaseConfig(db.Write.Config().ConnConfig)}
		if err := l.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.close)
		return l
	}
	told, other := open(1), open(2)
	for name, again := range map[string]bool{"asked for again": true, "never known of": false} {
		_, err := told.conn.Exec(t.Context(), `SELECT pg_advisory_lock($1, hashtext($2))`, leaseClass, told.request.Name)
		if err == nil && again {
			err = told.lock(t.Context())
		}
		if err == nil {
			err = told.letGo(t.Context(), 0)
		}
		if err == nil {
			err = other.lock(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if !other.locked {
			t.Errorf("%s: the lock was kept", name)
		}
		if err := other.letGo(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// bystander is a backend that has nothing to do with leases.
func bystander(t *testing.T, db *DB) (pid int32, alive func() bool) {
	t.Helper()
	c, err := db.Write.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	if err := c.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	return pid, func() bool {
		var one int
		return c.QueryRow(t.Context(), `SELECT 1`).Scan(&one) == nil
	}
}

func TestLease_TakerEndsTheBackendOfTheRowAndNoOther(t *testing.T) {
	db := open(t)
	old := win(t, db, 1)
	pid, alive := bystander(t, db)
	// The holder's pid has become somebody else's: its backend began at another time than the row says.
	_, err := db.Write.Exec(t.Context(), `UPDATE leases SET pid = $1`, pid)
	if err != nil {
		t.Fatal(err)
	}
	second := win(t, db, 2)
	if !alive() {
		t.Fatal("a backend with the row's pid, begun at another time, was ended")
	}
	if old.conn.Ping(t.Context()) != nil {
		t.Fatal("the old session was ended, and the row did not name it")
	}
	old.close()
	// So that the row names its session. The server may need a moment to see that the old one has ended.
	for !second.locked {
		if err := second.Renew(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
	}
	third := win(t, db, 3)
	if second.conn.Ping(t.Context()) == nil {
		t.Fatal("the hanging session that the row named was not ended")
	}
	if !third.locked {
		t.Fatal("the taker has not the lock")
	}
}

func TestLease_WhoDoesNotGetTheRowEndsNobody(t *testing.T) {
	db := open(t)
	holder := win(t, db, 1)
	late := &Lease{request: request(2), url: leaseConfig(db.Write.Config().ConnConfig)}
	t.Cleanup(late.close)
	if err := late.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen, err := late.look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Renew(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if won, err := late.take(t.Context(), seen); err != nil || won {
		t.Fatal(won, err)
	}
	if err := holder.conn.Ping(t.Context()); err != nil {
		t.Fatalf("the holder's session was ended: %v", err)
	}
}

func TestLease_ContentionEndsWithItsConnection(t *testing.T) {
	db := open(t)
	_ = win(t, db, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := db.Contend(t.Context(), request(2))
		ended <- err
	}()
	waitBlockedBy(t, db, 1)
	_, err := db.Write.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database
		WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted`)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("it went on over another connection, which has seen nothing of the lock")
	}
}

func TestLease_ReplicaElectsNobody(t *testing.T) {
	if os.Getenv(testpg.Env) != "" {
		t.Skip("needs a server of its own")
	}
	testpg.Server(t) // skips where there is no PostgreSQL
	dir := filepath.Join(t.TempDir(), "pg")
	start := func() *embedded.Postgres {
		pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresConfig{Dir: dir, Databases: []string{"fairgate"}})
		if err != nil {
			t.Fatal(err)
		}
		return pg
	}
	pg := start()
	if err := Migrate(t.Context(), pg.URL("fairgate")); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, pg.URL("fairgate")).Write.Exec(t.Context(), `INSERT INTO leases (name) VALUES ('orders/0')`); err != nil {
		t.Fatal(err)
	}
	_ = pg.Stop()
	makeReplica(t, dir)
	pg = start()
	t.Cleanup(func() { _ = pg.Stop() })
	db := dial(t, pg.URL("fairgate"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	l, err := db.Contend(ctx, request(1))
	if err == nil || ctx.Err() != nil {
		t.Fatalf("a replica elected %v: %v", l, err)
	}
	late := &Lease{request: request(1), url: leaseConfig(db.Write.Config().ConnConfig)}
	t.Cleanup(late.close)
	if err := late.connect(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := late.look(ctx); !errors.Is(err, ErrNotPrimary) {
		t.Fatalf("a look at a replica: %v", err)
	}
}

// makeReplica has the server that stands in dir come up in recovery, following nobody.
func makeReplica(t *testing.T, dir string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "PG_VERSION"))
	if err != nil || len(found) > 1 {
		t.Fatal(found, err)
	}
	if len(found) == 1 {
		dir = filepath.Dir(found[0])
	}
	info, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	if err != nil {
		t.Fatal(err)
	}
	signal := filepath.Join(dir, "standby.signal")
	if err := os.WriteFile(signal, nil, info.Mode()|0o444); err != nil {
		t.Fatal(err)
	}
}

func TestLease_SessionOfAVanishedHostEndsWithinSeconds(t *testing.T) {
	db := open(t)
	l := win(t, db, 1)
	for name, want := range map[string]string{
		"tcp_user_timeout": "3000", "tcp_keepalives_idle": "1", "tcp_keepalives_interval": "1", "synchronous_commit": "local",
	} {
		var got string
		if err := l.conn.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q: %v", name, got, want, err)
		}
	}
}

func TestLease_LeaderThatLostItTakesItBackFirst(t *testing.T) {
	const leader = 99
	db := open(t)
	for round := range byte(4) {
		t.Run(string('0'+rune(round)), func(t *testing.T) {
			usurper := win(t, db, 1+round)
			won := candidates(t, db, func(n byte, r *LeaseRequest) {
				r.TTL = long
				if n != leader {
					r.Led = func() wire.ID { return wire.ID{leader} }
				}
			}, 20+round, 30+round, leader)
			waitBlockedBy(t, db, 3)
			usurper.close()
			next := <-won
			if next.request.Holder != (wire.ID{leader}) {
				t.Errorf("%d took it from the leader", next.request.Holder[0])
			}
			if err := next.Release(t.Context(), wire.ID{88}); err != nil { // for the next round, from whom is not there
				t.Fatal(err)
			}
		})
	}
}
