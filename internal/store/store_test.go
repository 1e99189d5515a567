package store

import (
	"context"
	"errors"
	"strings"
	"testing"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testpg"
)

// open returns a migrated database of the test's own.
func open(t *testing.T) *DB {
	t.Helper()
	return dial(t, testpg.Migrated(t, "store", Migrate))
}

func dial(t *testing.T, url string) *DB {
	t.Helper()
	db, err := New(t.Context(), Config{Write: conf.Secret(url)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func TestConfig_NamesTheKeyAndNeverTheURL(t *testing.T) {
	for want, c := range map[string]Config{
		"write:":         {},
		"read:":          {Write: "postgres://h/d", Read: "postgres://u:hunter2@h:port/d"},
		"maxConnections": {Write: "postgres://h/d", MaxConnections: -1},
	} {
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", want, err)
		}
	}
	if err := (Config{Write: "postgres://h/d"}).Validate(); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

func TestMigrate_TwiceAndAtOnceIsOnce(t *testing.T) {
	url := testpg.URL(t)
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- Migrate(t.Context(), url) }()
	}
	if err := errors.Join(<-errs, <-errs, Migrate(t.Context(), url)); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, url).CheckSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCheckSchema_SaysWhatToDoAboutAnOldOne(t *testing.T) {
	empty := dial(t, testpg.URL(t))
	if err := empty.CheckSchema(t.Context()); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "fairgate migrate") {
		t.Errorf("an empty database: %v", err)
	}
	db := open(t)
	ctx := context.Background()
	if _, err := db.Write.Exec(ctx, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
		t.Fatal(err)
	}
	if err := db.CheckSchema(ctx); err != nil {
		t.Errorf("a newer one: %v", err)
	}
	for _, where := range []string{"= 41", "> 0"} { // one in the middle, then all
		if _, err := db.Write.Exec(ctx, `DELETE FROM goose_db_version WHERE version_id `+where); err != nil {
			t.Fatal(err)
		}
		if err := db.CheckSchema(ctx); !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), "lacks the migrations [") {
			t.Errorf("without those %s: %v", where, err)
		}
	}
}

func TestMigrations_HaveNumbersOfTheirOwnInOrder(t *testing.T) {
	all, err := versions()
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for i := 1; i < len(all); i++ {
		if all[i] <= all[i-1] {
			t.Errorf("migration %d comes after %d", all[i], all[i-1])
		}
	}
}
