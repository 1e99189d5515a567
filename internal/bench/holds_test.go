package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fairgate/internal/embedded"
)

// clients is how many connections hold stock in Postgres at once: about what a pool of a booking service has.
const clients = 32

// BenchmarkHolds compares durable holds a second: through the log with three brokers, and in the two usual ways in a
// Postgres on the same machine, by turns in one run.
//
// Durable means here: in the log, in the page caches of at least two brokers, as Kafka is run everywhere; in Postgres,
// flushed to the disk (fsync and synchronous_commit on, no replica), as Postgres is run everywhere.
func BenchmarkHolds(b *testing.B) {
	k, shop := startKafka(b, 3), openShop(b)
	k.warm()
	var log figures
	var locked, conditional sales
	for range rounds {
		log.add(k.say("log", k.turn(engineDecides, callers(), settle, roundLength)))
		locked.add(shop.turn("row lock", holdLocked))
		conditional.add(shop.turn("conditional", holdConditional))
	}
	b.ReportMetric(log.rate, "bench:holds.log:1/s")
	b.ReportMetric(locked.rate(), "bench:holds.postgres.rowlock:1/s")
	b.ReportMetric(conditional.rate(), "bench:holds.postgres.conditional:1/s")
	b.ReportMetric(log.rate/locked.rate(), "ratio:holds.rowlock")
	b.ReportMetric(log.rate/conditional.rate(), "ratio:holds.conditional")
}

// sales are holds that were committed in a time.
type sales struct {
	held int64
	took time.Duration
}

func (s *sales) add(t sales)   { s.held, s.took = s.held+t.held, s.took+t.took }
func (s *sales) rate() float64 { return float64(s.held) / s.took.Seconds() }

// shop sells one event out of Postgres.
type shop struct {
	b    *testing.B
	pool *pgxpool.Pool
}

const shopTables = `
CREATE TABLE stock (event bigint PRIMARY KEY, free integer NOT NULL, held integer NOT NULL DEFAULT 0);
CREATE TABLE holds (id uuid PRIMARY KEY, event bigint NOT NULL, user_key uuid NOT NULL, quantity integer NOT NULL,
	expires timestamptz NOT NULL DEFAULT now() + interval '5 minutes');
INSERT INTO stock VALUES (7, 10000000)`

// openShop starts a Postgres that flushes every commit, in a folder that its account may enter.
func openShop(b *testing.B) *shop {
	b.Helper()
	dir, err := os.MkdirTemp("", "fairgate-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		b.Fatal(err)
	}
	server, err := embedded.StartPostgres(b.Context(), embedded.PostgresConfig{
		Dir: dir + "/postgres", Settings: map[string]string{"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(); err != nil {
			b.Error(err)
		}
	})
	cfg, err := pgxpool.ParseConfig(server.URL("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	cfg.MaxConns, cfg.MinConns = clients, clients
	pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	if _, err := pool.Exec(b.Context(), shopTables, pgx.QueryExecModeSimpleProtocol); err != nil {
		b.Fatal(err)
	}
	return &shop{b: b, pool: pool}
}

// turn lets every client hold, one after the other, and checks that nothing was oversold.
func (s *shop) turn(what string, hold func(context.Context, *pgx.Conn, [16]byte) error) (t sales) {
	s.b.Helper()
	ctx, stop := context.WithTimeout(context.Background(), settle+roundLength)
	defer stop()
	var held atomic.Int64
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			conn, err := s.pool.Acquire(ctx)
			if err != nil {
				s.b.Error(err)
				return
			}
			defer conn.Release()
			for ctx.Err() == nil {
				var id [16]byte
				_, _ = rand.Read(id[:])
				if err := hold(context.WithoutCancel(ctx), conn.Conn(), id); err != nil {
					s.b.Error(err)
					return
				}
				held.Add(1)
			}
		})
	}
	time.Sleep(settle)
	at, start := held.Load(), time.Now()
	all.Wait()
	t = sales{held: held.Load() - at, took: time.Since(start)}
	var sound bool
	if err := s.pool.QueryRow(context.Background(), `SELECT free + held = 10000000 AND held = (SELECT count(*) FROM holds) FROM stock`).
		Scan(&sound); err != nil || !sound {
		s.b.Fatalf("stock does not add up: %v", err)
	}
	s.b.Logf("%-11s %.0f/s", what, t.rate())
	return t
}

// holdLocked is the usual way: lock the row of the stock, look, write the hold, take the ticket, commit.
func holdLocked(ctx context.Context, conn *pgx.Conn, id [16]byte) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var free int
		if err := tx.QueryRow(ctx, `SELECT free FROM stock WHERE event = $1 FOR UPDATE`, show).Scan(&free); err != nil {
			return err
		}
		if free < 1 {
			return fmt.Errorf("sold out")
		}
		if _, err := tx.Exec(ctx, `INSERT INTO holds (id, event, user_key, quantity) VALUES ($1, $2, $3, 1)`, id, show, id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE stock SET free = free - 1, held = held + 1 WHERE event = $1`, show)
		return err
	})
}

// holdConditional does it in one statement: the row is locked for as long as the commit takes, and no longer.
func holdConditional(ctx context.Context, conn *pgx.Conn, id [16]byte) error {
	tag, err := conn.Exec(ctx, `WITH taken AS (
			UPDATE stock SET free = free - 1, held = held + 1 WHERE event = $1 AND free > 0 RETURNING event)
		INSERT INTO holds (id, event, user_key, quantity) SELECT $2, event, $3, 1 FROM taken`, show, id, id)
	if err == nil && tag.RowsAffected() != 1 {
		return fmt.Errorf("sold out")
	}
	return err
}
