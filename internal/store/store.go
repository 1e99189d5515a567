// Package store is everything Fairgate keeps in Postgres: connection pools with reads and writes apart, the schema, leases,
// snapshots, and the queries of every area in a file of its own. It may open connections to the configured databases;
// it knows what the rows mean and nothing of who asks for them.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fairgate/internal/conf"
)

const (
	// DefaultConnections is how many connections a pool opens at most when Config does not say.
	DefaultConnections = 16
	// MaxConnections is the most that Config may ask for.
	MaxConnections = 1_000
	// connectTimeout bounds one attempt to connect.
	connectTimeout = 3 * time.Second
)

// Config says where the databases are. Read may be empty: then reads go where writes go.
type Config struct {
	Write          conf.Secret `yaml:"write" help:"URL of the primary: postgres://user:password@host:port/database; needed"`
	Read           conf.Secret `yaml:"read" help:"URL of a replica for lists that may be a little stale; the primary if empty"`
	MaxConnections int         `yaml:"maxConnections" default:"16" help:"most connections of each pool"`
}

// Validate names the key that cannot work. It never repeats a URL: there may be a password in it.
func (c Config) Validate() error {
	var errs []error
	if c.Write.Reveal() == "" {
		errs = append(errs, errors.New("write: expected postgres://user:password@host:port/database"))
	}
	for _, u := range []struct {
		key string
		url conf.Secret
	}{{"write", c.Write}, {"read", c.Read}} {
		if _, err := pgxpool.ParseConfig(u.url.Reveal()); err != nil {
			errs = append(errs, fmt.Errorf("%s: not a PostgreSQL URL", u.key))
		}
	}
	if c.MaxConnections < 0 || c.MaxConnections > MaxConnections {
		errs = append(errs, fmt.Errorf("maxConnections: must be between 1 and %d, is %d", MaxConnections, c.MaxConnections))
	}
	return errors.Join(errs...)
}

// DB is the two pools. Read is Write when there is no replica: then what was written is seen at once, else perhaps a
// little later.
type DB struct {
	Write *pgxpool.Pool
	Read  *pgxpool.Pool
}

// New prepares the pools. It connects on first use, so that roles and databases may start in any order; ctx bounds
// nothing but this call.
func New(ctx context.Context, cfg Config) (*DB, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	write, err := newPool(ctx, cfg.Write, cfg.MaxConnections)
	if err != nil {
		return nil, fmt.Errorf("preparing the write pool: %w", err)
	}
	db := &DB{Write: write, Read: write}
	if cfg.Read.Reveal() != "" && cfg.Read != cfg.Write {
		if db.Read, err = newPool(ctx, cfg.Read, cfg.MaxConnections); err != nil {
			write.Close()
			return nil, fmt.Errorf("preparing the read pool: %w", err)
		}
	}
	return db, nil
}

func newPool(ctx context.Context, url conf.Secret, connections int) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(url.Reveal())
	if err != nil {
		return nil, errors.New("not a PostgreSQL URL")
	}
	if connections == 0 {
		connections = DefaultConnections
	}
	c.MaxConns = int32(connections)
	c.MaxConnLifetimeJitter = time.Minute
	c.ConnConfig.ConnectTimeout = connectTimeout
	session(c.ConnConfig)
	return pgxpool.NewWithConfig(ctx, c)
}

// session sets what every session of ours wants: instants in UTC whatever the server's zone, and a name for
// pg_stat_activity.
func session(c *pgx.ConnConfig) {
	c.RuntimeParams["timezone"] = "UTC"
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "fairgate"
	}
}

// Close ends both pools; it waits for the connections that are in use.
func (db *DB) Close() {
	db.Write.Close()
	if db.Read != db.Write {
		db.Read.Close()
	}
}

// Ready says whether the primary answers and has our schema; it is meant for a readiness check.
func (db *DB) Ready(ctx context.Context) error { return db.CheckSchema(ctx) }
