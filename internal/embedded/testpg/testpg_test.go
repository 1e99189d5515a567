package testpg_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"fairgate/internal/embedded/testpg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testpg.IgnoreLeaks()...) }

func exec(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func TestMigrated_EachTestHasItsOwnCopy(t *testing.T) {
	var prepared atomic.Int32
	prepare := func(ctx context.Context, url string) error {
		prepared.Add(1)
		return exec(ctx, url, `CREATE TABLE seats (n int)`, `INSERT INTO seats VALUES (1)`)
	}
	seen := make(chan string, 3)
	t.Run("copies", func(t *testing.T) {
		for range 3 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				url := testpg.Migrated(t, "seats", prepare)
				seen <- url
				if err := exec(t.Context(), url, `INSERT INTO seats VALUES (2)`,
					`DO $$ BEGIN ASSERT (SELECT count(*) FROM seats) = 2; END $$`); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if prepared.Load() != 1 {
		t.Fatalf("prepared %d times", prepared.Load())
	}
	for range 3 {
		if err := exec(t.Context(), <-seen); err == nil {
			t.Error("the database outlived its test")
		}
	}
}

func TestURL_IsEmptyAndItsOwn(t *testing.T) {
	one, two := testpg.URL(t), testpg.URL(t)
	for _, url := range []string{one, two} {
		if err := exec(t.Context(), url, `CREATE TABLE t (n int)`); err != nil {
			t.Fatal(err)
		}
	}
}
