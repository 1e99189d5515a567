package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"fairgate/internal/wire"
)

const (
	// LeaseTTL is how long a lease lasts after its last renewal when LeaseRequest does not say.
	LeaseTTL = 1500 * time.Millisecond
	// heirFirst is how long a lease that was given back in favour of somebody waits for him.
	heirFirst = 150 * time.Millisecond
	// leaseWait is the longest that a candidate waits in the server for the lock before it looks at the row again. A holder
	// that dies before the candidates have looked once is replaced only after its TTL.
	leaseWait = 100 * time.Millisecond
	// asideFor is how long a candidate leaves the lock to whoever has a better right to it.
	asideFor = 40 * time.Millisecond
	// leaseVanished is how long the server waits for a word from a host before it ends its session.
	leaseVanished = 3 * time.Second
	// leaseClass is the first key of our advisory locks; the second is a hash of the lease's name.
	leaseClass = 0x66676c65

	lockNotAvailable = "55P03"
)

var (
	// ErrLeaseLost: somebody else has taken the lease.
	ErrLeaseLost = errors.New("lease was taken by another holder")
	// ErrNotPrimary: the database is a replica; its rows and locks elect nobody.
	ErrNotPrimary = errors.New("database is not a primary")
)

// LeaseRequest says who wants which lease.
type LeaseRequest struct {
	Name    string        // "orders/0"
	Holder  wire.ID       // random, of this attempt; a leader that lost its lease contends under its last one
	Address string        // where the holder's questions are answered; published with the lease
	TTL     time.Duration // 0 means LeaseTTL

	Candidate wire.ID              // the process: what Release may name as heir; zero for nobody
	Handicap  func() time.Duration // how long to let others go first when it becomes free now; nil for not at all
	Led       func() wire.ID       // the Holder of whoever else is seen to lead and to be alive, zero for nobody; nil for unknown
}

// Lease is a lease that was won. It belongs to one goroutine.
type Lease struct {
	request LeaseRequest
	url     *pgx.ConnConfig
	conn    *pgx.Conn // nil while the database is away
	epoch   uint64
	locked  bool          // conn has the session lock
	over    bool          // released or abandoned
	patient time.Duration // how long it waits for its heir once it is given back
}

// Contend waits until the lease is free and takes it. It is free when, over the one connection that Contend opens to the
// primary, its holder gave it back, or the session lock beside it was seen with the holder's session and then freed (the
// holder died: we know within milliseconds), or the row stayed unrenewed for a whole TTL (the holder hangs).
//
// It returns the error of its connection, or of ctx, when that ends first; the caller then begins anew.
func (db *DB) Contend(ctx context.Context, r LeaseRequest) (*Lease, error) {
	if r.TTL == 0 {
		r.TTL = LeaseTTL
	}
	l := &Lease{request: r, url: leaseConfig(db.Write.Config().ConnConfig), patient: heirFirst}
	if err := l.contend(ctx); err != nil {
		l.close()
		return nil, fmt.Errorf("contending for lease %s: %w", r.Name, err)
	}
	return l, nil
}

// leaseConfig is that of a lease's session. The server notices within seconds that the other end has vanished without a
// word: until then it would keep the lock. Its commits wait for no standby of the database: nothing is lost with a row
// that a failover takes back, since the log has the epochs too.
func leaseConfig(c *pgx.ConnConfig) *pgx.ConnConfig {
	c = c.Copy()
	c.RuntimeParams["application_name"] = "fairgate lease"
	c.RuntimeParams["lock_timeout"] = fmt.Sprint(leaseWait.Milliseconds())
	c.RuntimeParams["synchronous_commit"] = "local"
	c.RuntimeParams["tcp_keepalives_idle"], c.RuntimeParams["tcp_keepalives_interval"] = "1", "1"
	c.RuntimeParams["tcp_user_timeout"] = fmt.Sprint(leaseVanished.Milliseconds())
	return c
}

func (l *Lease) contend(ctx context.Context) error {
	if err := l.connect(ctx); err != nil {
		return err
	}
	_, err := l.conn.Exec(ctx, `INSERT INTO leases (name) VALUES ($1) ON CONFLICT DO NOTHING`, l.request.Name)
	if err != nil {
		return err
	}
	began, e := time.Now(), NewElection(l.request.TTL)
	for {
		row, err := l.look(ctx)
		if err != nil {
			return err
		}
		handicap := l.handicap()
		switch e.See(row, l.locked, time.Since(began), handicap, l.led()) {
		case TakeLease:
			if won, err := l.take(ctx, row); err != nil || won {
				return err
			}
			if err := l.letGo(ctx, 0); err != nil {
				return err
			}
		case StepAside:
			// Who only comes back to look would keep the heir from the lock, on a busy database for ever.
			if err := l.letGo(ctx, max(asideFor, min(row.Reserved, l.request.TTL))); err != nil {
				return err
			}
		case Yield:
			if err := l.letGo(ctx, handicap); err != nil {
				return err
			}
		}
		if err := l.lock(ctx); err != nil {
			return err
		}
	}
}

func (l *Lease) handicap() time.Duration {
	if l.request.Handicap == nil {
		return 0
	}
	return min(l.request.Handicap(), leaseWait)
}

func (l *Lease) led() wire.ID {
	if l.request.Led == nil {
		return wire.ID{}
	}
	return l.request.Led()
}

// letGo gives the session lock to others and waits. The session may have it twice, or without having been told: when a lock
// is freed in the moment in which a wait for it times out, PostgreSQL grants it to the session and reports the timeout. Kept
// so, nobody else would ever have it, and no death would be noticed before a TTL. The session has no other lock.
func (l *Lease) letGo(ctx context.Context, wait time.Duration) error {
	if _, err := l.conn.Exec(ctx, `SELECT pg_advisory_unlock_all()`); err != nil {
		return err
	}
	l.locked = false
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take makes the row ours if nobody touched it since it was seen. Two candidates may come this far; the row decides.
// A crash after it leaves a lease that ends by itself: the session lock is freed with our connection.
//
// A session that hangs would keep its lock for ever, so the taker ends it: only once the row is its own, and only the
// very backend that the row named, whose pid may belong to somebody else by now.
func (l *Lease) take(ctx context.Context, seen LeaseRow) (bool, error) {
	err := l.conn.QueryRow(ctx, `WITH won AS (
			UPDATE leases SET epoch = epoch + 1, holder = $2, address = $3, heir = '', given_by = '', pid = pg_backend_pid(),
				backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
				renewed_at = clock_timestamp()
			WHERE name = $1 AND epoch = $4 AND holder = $5 AND renewed_at = $6 AND NOT pg_is_in_recovery()
			RETURNING epoch)
		SELECT epoch, (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE NOT $7 AND pid = $8 AND backend_start = $9 AND pid <> pg_backend_pid()) IS NULL FROM won`,
		l.request.Name, l.request.Holder[:], l.request.Address, seen.Epoch, seen.Holder, seen.Renewed,
		l.locked, seen.PID, seen.Started).Scan(&l.epoch, nil)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Without the lock our own death would be noticed late; if it does not work now, Renew tries again.
	_ = l.lock(ctx)
	return true, nil
}

// lock waits at most leaseWait for the session lock, and says in l.locked whether we have it.
func (l *Lease) lock(ctx context.Context) error {
	if l.locked {
		return nil
	}
	_, err := l.conn.Exec(ctx, `SELECT pg_advisory_lock($1, hashtext($2))`, leaseClass, l.request.Name)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == lockNotAvailable {
		return nil
	}
	l.locked = err == nil
	return err
}

func (l *Lease) look(ctx context.Context) (LeaseRow, error) {
	var r LeaseRow
	var replica bool
	err := l.conn.QueryRow(ctx, `SELECT epoch, holder, given_by, pid, backend_start, renewed_at, clock_timestamp(),
			EXISTS (SELECT 1 FROM pg_locks k WHERE k.locktype = 'advisory' AND k.granted AND k.pid = leases.pid
				AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
				AND k.classid::bigint = $2 AND k.objid::bigint = hashtext(name)::bigint & 4294967295 AND k.objsubid = 2),
			CASE WHEN holder = '' AND heir NOT IN ('', $3) THEN heir_until - clock_timestamp() ELSE interval '0' END,
			holder = '' AND heir = $3, pg_is_in_recovery()
		FROM leases WHERE name = $1`, l.request.Name, int64(leaseClass), l.request.Candidate[:]).
		Scan(&r.Epoch, &r.Holder, &r.Giver, &r.PID, &r.Started, &r.Renewed, &r.At, &r.Manned, &r.Reserved, &r.Favoured, &replica)
	if err == nil && replica {
		err = ErrNotPrimary
	}
	return r, err
}

// Epoch is the least epoch that the holder may use: above every one that the row has seen.
func (l *Lease) Epoch() uint64 { return l.epoch }

// Renew tells everybody that the holder is alive and leads with an epoch (0: none yet). Where the connection was lost it
// opens another and takes the lock again if it can. ErrLeaseLost means that the row is somebody else's; any other
// error means that the database did not answer, and Renew may be called again.
func (l *Lease) Renew(ctx context.Context, epoch uint64) error {
	if err := l.renew(ctx, epoch); err != nil {
		if !errors.Is(err, ErrLeaseLost) {
			l.close()
		}
		return fmt.Errorf("renewing lease %s: %w", l.request.Name, err)
	}
	return nil
}

func (l *Lease) renew(ctx context.Context, epoch uint64) error {
	if l.over {
		return ErrLeaseLost
	}
	if l.conn == nil || l.conn.IsClosed() {
		if err := l.connect(ctx); err != nil {
			return err
		}
	}
	tag, err := l.conn.Exec(ctx, `UPDATE leases SET renewed_at = clock_timestamp(), epoch = greatest(epoch, $3),
			pid = pg_backend_pid(),
			backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())
		WHERE name = $1 AND holder = $2`, l.request.Name, l.request.Holder[:], int64(epoch))
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return ErrLeaseLost
	}
	if l.locked {
		return nil
	}
	// After the row, so that a candidate finds the backend to end when we hang right here. A candidate that has the lock
	// for a moment gives it back; the next renewal tries again.
	return l.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, hashtext($2))`, leaseClass, l.request.Name).Scan(&l.locked)
}

// Release gives the lease back, so that a candidate takes it within milliseconds; heir, if not zero, is the one that the
// others let go first. Without a working connection the lease ends by itself after its TTL.
func (l *Lease) Release(ctx context.Context, heir wire.ID) error {
	defer l.Abandon()
	if l.conn == nil || l.conn.IsClosed() {
		return nil
	}
	first := heir[:]
	if heir == (wire.ID{}) {
		first = []byte{}
	}
	_, err := l.conn.Exec(ctx, `UPDATE leases SET holder = '', given_by = $2, address = '', pid = 0, backend_start = NULL,
			heir = $3, heir_until = clock_timestamp() + $4
		WHERE name = $1 AND holder = $2`, l.request.Name, l.request.Holder[:], first, l.patient)
	if err != nil {
		return fmt.Errorf("releasing lease %s: %w", l.request.Name, err)
	}
	return nil
}

// Abandon closes the connection and leaves the row as it is. A later Renew finds the lease lost.
func (l *Lease) Abandon() {
	l.over = true
	l.close()
}

func (l *Lease) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.url)
	if err != nil {
		return err
	}
	l.conn, l.locked = conn, false
	return nil
}

// close ends the session, and with it the lock. The server gets a moment to hear of it.
func (l *Lease) close() {
	if l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseWait)
	defer cancel()
	_ = l.conn.Close(ctx)
	l.conn, l.locked = nil, false
}

// LeaseHolder is where the holder of a lease answers questions, "" when nobody has it; epoch is the newest that the row
// knows. The row may be a moment old: who must be sure asks the log.
func (db *DB) LeaseHolder(ctx context.Context, name string) (address string, epoch uint64, err error) {
	err = db.Write.QueryRow(ctx, `SELECT address, epoch FROM leases WHERE name = $1`, name).Scan(&address, &epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("reading lease %s: %w", name, err)
	}
	return address, epoch, nil
}
