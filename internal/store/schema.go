package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrations are applied in the order of their numbers. The next one gets a number above the highest that is there, whatever
// gaps there are below: a database that is past a number is never given it any more.
//
//go:embed migrations/*.sql
var migrations embed.FS

// ErrSchema: the database does not have the schema that this program needs.
var ErrSchema = errors.New("database schema is not the one this program needs")

// undefinedTable is Postgres' error code for a table that is not there.
const undefinedTable = "42P01"

// Migrate brings the database at url to the newest schema, one migration a transaction. Several processes may call it at
// once: one works, the others wait for it. A database that is already newer is left as it is. On an error the
// migrations before the failed one stay applied, and Migrate may be called again.
func Migrate(ctx context.Context, url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return errors.New("migrating: not a PostgreSQL URL")
	}
	cfg.ConnectTimeout = connectTimeout
	session(cfg)
	db := stdlib.OpenDB(*cfg)
	defer db.Close()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// versions are the numbers of this program's migrations in their order.
func versions() ([]int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []int64
	for _, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s has no number", name)
		}
		all = append(all, n)
	}
	return all, nil
}

// CheckSchema returns ErrSchema with what to do when the primary's schema lacks a migration of this program. A newer one is
// fine: migrations first expand and only much later contract.
func (db *DB) CheckSchema(ctx context.Context) error {
	want, err := versions()
	if err != nil {
		return err
	}
	var missing []int64
	err = db.Write.QueryRow(ctx, `SELECT coalesce(array_agg(n ORDER BY n), '{}') FROM unnest($1::bigint[]) n
		WHERE NOT EXISTS (SELECT FROM goose_db_version WHERE version_id = n AND is_applied)`, want).Scan(&missing)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return fmt.Errorf("%w: the database is empty: run fairgate migrate", ErrSchema)
	}
	if err != nil {
		return fmt.Errorf("reading the schema version: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: it lacks the migrations %v: run fairgate migrate", ErrSchema, missing)
	}
	return nil
}
