package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/embedded"
	"fairgate/internal/store"
)

// TestDocuments_APromotedStandbyBeginsAnotherSeries promotes a real server: what it says of itself must differ from what
// the primary said, for numbers hang on it.
func TestDocuments_APromotedStandbyBeginsAnotherSeries(t *testing.T) {
	if _, err := embedded.FindPostgres(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	cfg := embedded.PostgresConfig{Dir: filepath.Join(t.TempDir(), "pg"), Databases: []string{"shop"}}
	pg, err := embedded.StartPostgres(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Migrate(t.Context(), pg.URL("shop")); err != nil {
		t.Fatal(err)
	}
	if now := timeline(t, pg.URL("shop")); now != 1 {
		t.Errorf("a new server is on timeline %d", now)
	}
	if err := pg.Stop(); err != nil {
		t.Fatal(err)
	}
	versions, err := filepath.Glob(filepath.Join(cfg.Dir, "*", "PG_VERSION"))
	if err != nil || len(versions) != 1 {
		t.Fatal(versions, err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(versions[0]), "standby.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if pg, err = embedded.StartPostgres(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop() })
	conn, err := pgx.Connect(t.Context(), pg.URL("shop"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `SELECT pg_promote()`); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(context.Background())
	if now := timeline(t, pg.URL("shop")); now != 2 {
		t.Errorf("promoted, it is on timeline %d", now)
	}
}

func timeline(t *testing.T, url string) (now int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), `SELECT fg_timeline()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	return now
}
