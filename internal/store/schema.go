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

// SchemaVersion is the number of the newest migration in this program.
func SchemaVersion() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, err
	}
	var newest int64
	for _, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s has no number", name)
		}
		newest = max(newest, n)
	}
	return newest, nil
}

// CheckSchema returns ErrSchema with what to do when the primary's schema is older than this program. A newer one is
// fine: migrations first expand and only much later contract.
func (db *DB) CheckSchema(ctx context.Context) error {
	want, err := SchemaVersion()
	if err != nil {
		return err
	}
	var have int64
	err = db.Write.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == undefinedTable {
		return fmt.Errorf("%w: the database is empty: run fairgate migrate", ErrSchema)
	}
	if err != nil {
		return fmt.Errorf("reading the schema version: %w", err)
	}
	if have < want {
		return fmt.Errorf("%w: it is at version %d and should be at %d: run fairgate migrate", ErrSchema, have, want)
	}
	return nil
}
