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
	// leaseWait is the longest that a candidate waits in the server for the lock before it looks at the row again.
	leaseWait = 250 * time.Millisecond
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
	Holder  wire.ID       // random, of this attempt; never used twice
	Address string        // where the holder's questions are answered; published with the lease
	TTL     time.Duration // 0 means LeaseTTL
}

// Lease is a lease that was won. It belongs to one goroutine.
type Lease struct {
	request LeaseRequest
	url     *pgx.ConnConfig
	conn    *pgx.Conn // nil while the database is away
	epoch   uint64
	over    bool // released or abandoned
}

// leaseRow is the row as a candidate saw it.
type leaseRow struct {
	epoch   int64
	holder  []byte
	pid     int32
	started *time.Time
	renewed time.Time
}

// free says that the holder gave the lease back, or that there never was one.
func (r leaseRow) free() bool { return len(r.holder) == 0 }

func (r leaseRow) same(o leaseRow) bool {
	return r.renewed.Equal(o.renewed) && string(r.holder) == string(o.holder) && r.epoch == o.epoch
}

// Contend waits until the lease is free and takes it. It is free when, over the one connection that Contend opens to the
// primary, its holder gave it back, or the session lock beside it was seen held and then freed (the holder died: we
// know within milliseconds), or the row stayed unrenewed for a whole TTL (the holder hangs). A fresh connection that
// finds the lock free proves nothing: the database itself may have restarted under a living holder.
//
// It returns the error of its connection, or of ctx, when that ends first; the caller then begins anew.
func (db *DB) Contend(ctx context.Context, r LeaseRequest) (*Lease, error) {
	if r.TTL == 0 {
		r.TTL = LeaseTTL
	}
	l := &Lease{request: r, url: leaseConfig(db.Write.Config().ConnConfig)}
	if err := l.contend(ctx); err != nil {
		l.close()
		return nil, fmt.Errorf("contending for lease %s: %w", r.Name, err)
	}
	return l, nil
}

func leaseConfig(c *pgx.ConnConfig) *pgx.ConnConfig {
	c = c.Copy()
	c.RuntimeParams["application_name"] = "fairgate lease"
	c.RuntimeParams["lock_timeout"] = fmt.Sprint(leaseWait.Milliseconds())
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
	first, err := l.look(ctx)
	if err != nil {
		return err
	}
	firstSeen := time.Now()
	for seenHeld := false; ; {
		locked, held, err := l.lock(ctx)
		if err != nil {
			return err
		}
		now, err := l.look(ctx)
		if err != nil {
			return err
		}
		if !now.same(first) {
			first, firstSeen = now, time.Now()
		}
		seenHeld = seenHeld || held
		hung := time.Since(firstSeen) >= l.request.TTL
		if now.free() && locked || seenHeld && locked || hung {
			if won, err := l.take(ctx, now, locked); err != nil || won {
				return err
			}
		}
		if locked {
			if err := l.stepBack(ctx); err != nil {
				return err
			}
		}
	}
}

// stepBack gives the lock to a holder that lives: it lost its session, not its lease.
func (l *Lease) stepBack(ctx context.Context) error {
	if _, err := l.conn.Exec(ctx, `SELECT pg_advisory_unlock($1, hashtext($2))`, leaseClass, l.request.Name); err != nil {
		return err
	}
	select {
	case <-time.After(leaseWait / 5):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take makes the row ours if nobody touched it since it was seen. Two candidates may come this far; the row decides.
// A crash after it leaves a lease that ends by itself: the session lock is freed with our connection.
func (l *Lease) take(ctx context.Context, seen leaseRow, locked bool) (bool, error) {
	if !locked && seen.pid != 0 && seen.started != nil {
		// A session that hangs keeps its lock for ever. Only the very backend that the row names is ended: its pid may
		// belong to somebody else by now.
		_, err := l.conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE pid = $1 AND backend_start = $2 AND pid <> pg_backend_pid()`, seen.pid, seen.started)
		if err != nil {
			return false, err
		}
	}
	err := l.conn.QueryRow(ctx, `UPDATE leases SET epoch = epoch + 1, holder = $2, address = $3, pid = pg_backend_pid(),
			backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
			renewed_at = clock_timestamp()
		WHERE name = $1 AND epoch = $4 AND holder = $5 AND renewed_at = $6 AND NOT pg_is_in_recovery()
		RETURNING epoch`,
		l.request.Name, l.request.Holder[:], l.request.Address, seen.epoch, seen.holder, seen.renewed).Scan(&l.epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// lock waits at most leaseWait for the session lock. held says that somebody had it.
func (l *Lease) lock(ctx context.Context) (locked, held bool, err error) {
	err = l.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1, hashtext($2))`, leaseClass, l.request.Name).Scan(&locked)
	if err != nil || locked {
		return locked, false, err
	}
	_, err = l.conn.Exec(ctx, `SELECT pg_advisory_lock($1, hashtext($2))`, leaseClass, l.request.Name)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == lockNotAvailable {
		return false, true, nil
	}
	return err == nil, true, err
}

func (l *Lease) look(ctx context.Context) (leaseRow, error) {
	var r leaseRow
	var replica bool
	err := l.conn.QueryRow(ctx, `SELECT epoch, holder, pid, backend_start, renewed_at, pg_is_in_recovery()
		FROM leases WHERE name = $1`, l.request.Name).
		Scan(&r.epoch, &r.holder, &r.pid, &r.started, &r.renewed, &replica)
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
	fresh := l.conn == nil || l.conn.IsClosed()
	if fresh {
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
	if !fresh {
		return nil
	}
	// After the row, so that a candidate finds the backend to end when we hang right here.
	_, err = l.conn.Exec(ctx, `SELECT pg_try_advisory_lock($1, hashtext($2))`, leaseClass, l.request.Name)
	return err
}

// Release gives the lease back, so that a candidate takes it within milliseconds. Without a working connection the lease
// ends by itself after its TTL.
func (l *Lease) Release(ctx context.Context) error {
	defer l.Abandon()
	if l.conn == nil || l.conn.IsClosed() {
		return nil
	}
	_, err := l.conn.Exec(ctx, `UPDATE leases SET holder = '', address = '', pid = 0, backend_start = NULL
		WHERE name = $1 AND holder = $2`, l.request.Name, l.request.Holder[:])
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
	l.conn = conn
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
	l.conn = nil
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
