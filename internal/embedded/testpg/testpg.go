// Package testpg gives each test a PostgreSQL database of its own. It starts
// one server per test binary, which ends with the binary, and keeps clusters
// for the next run in a fixed number of folders below the temporary folder.
//
// With FAIRGATE_TEST_POSTGRES=postgres://… it uses that server instead, as a
// role that may create databases. Without any PostgreSQL it skips the test,
// or fails it where CI=true.
package testpg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"fairgate/internal/embedded"
)

// Env names the server to use instead of starting one.
const Env = "FAIRGATE_TEST_POSTGRES"

const (
	// slots is how many test binaries can run servers at the same time.
	slots = 16
	// prefix begins the name of every database made here; the process id
	// follows, so that what a killed run left can be recognised.
	prefix = "fgt_"
	// patience bounds every step.
	patience = 60 * time.Second
)

// shared is the binary's server and its templates. Test support is the one
// place where the process, not a caller, is the owner.
var shared struct {
	mu        sync.Mutex
	server    *embedded.Postgres
	admin     string // URL of the maintenance database
	err       error
	templates map[string]string // by name
}

// URL returns the address of a new, empty database, dropped after the test.
func URL(t testing.TB) string {
	t.Helper()
	return create(t, "")
}

// Migrated is URL with a database that prepare has been run on: once for all
// tests that use the same name, each of which gets its own copy.
func Migrated(t testing.TB, name string, prepare func(ctx context.Context, url string) error) string {
	t.Helper()
	shared.mu.Lock()
	template, err := templateFor(t, name, prepare)
	shared.mu.Unlock()
	if err != nil {
		t.Fatalf("preparing template database %s: %v", name, err)
	}
	return create(t, template)
}

// Server is the server of this binary, for tests that stop or look at it; nil
// if another one is configured.
func Server(t testing.TB) *embedded.Postgres {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	start(t)
	return shared.server
}

// IgnoreLeaks are the goroutines that outlive the tests by design.
func IgnoreLeaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("fairgate/internal/embedded.(*Postgres).supervise"),
	}
}

func create(t testing.TB, template string) string {
	t.Helper()
	shared.mu.Lock()
	admin := start(t)
	shared.mu.Unlock()
	name := newName()
	statement := "CREATE DATABASE " + name
	if template != "" {
		statement += " TEMPLATE " + template
	}
	if err := run(admin, statement); err != nil {
		t.Fatalf("creating test database: %v", err)
	}
	t.Cleanup(func() {
		if err := run(admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("dropping test database: %v", err)
		}
	})
	return onDatabase(admin, name)
}

// templateFor runs with shared.mu held, so that a template is made once.
func templateFor(t testing.TB, name string, prepare func(ctx context.Context, url string) error) (string, error) {
	admin := start(t)
	if db := shared.templates[name]; db != "" {
		return db, nil
	}
	db := newName()
	if err := run(admin, "CREATE DATABASE "+db); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := prepare(ctx, onDatabase(admin, db)); err != nil {
		return "", errors.Join(err, run(admin, "DROP DATABASE "+db+" WITH (FORCE)"))
	}
	// A template must have no connections; some pools close theirs late.
	if err := run(admin, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '"+db+"'"); err != nil {
		return "", err
	}
	shared.templates[name] = db
	return db, nil
}

func newName() string {
	return prefix + strconv.Itoa(os.Getpid()) + "_" + strings.ToLower(rand.Text()[:10])
}

func onDatabase(admin, db string) string {
	u, err := url.Parse(admin)
	if err != nil {
		return admin
	}
	u.Path = "/" + db
	return u.String()
}

func run(admin, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// The simple protocol takes statements that cannot be prepared.
	_, err = conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
	return err
}

// start runs with shared.mu held and returns the URL of the maintenance
// database.
func start(t testing.TB) string {
	t.Helper()
	if shared.admin == "" && shared.err == nil {
		shared.templates = make(map[string]string)
		if shared.admin = os.Getenv(Env); shared.admin == "" {
			shared.err = startOwn()
		}
		if shared.err == nil {
			shared.err = sweep(shared.admin)
		}
	}
	switch {
	case shared.err == nil:
		return shared.admin
	case errors.Is(shared.err, embedded.ErrNoPostgres) && os.Getenv("CI") != "true":
		t.Skipf("needs PostgreSQL: %v", shared.err)
	default:
		t.Fatalf("no PostgreSQL for tests: %v", shared.err)
	}
	return ""
}

// startOwn takes the first free slot. A cluster that cannot be started (the
// machine lost power while it ran without fsync) is thrown away once.
func startOwn() error {
	base, err := ownFolder()
	if err != nil {
		return err
	}
	for slot := range slots {
		dir := filepath.Join(base, strconv.Itoa(slot))
		err := startIn(dir)
		if errors.Is(err, embedded.ErrInUse) {
			continue
		}
		if err != nil && !errors.Is(err, embedded.ErrNoPostgres) {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			err = startIn(dir)
		}
		return err
	}
	return fmt.Errorf("all %d test servers are in use", slots)
}

// ownFolder is kept between runs, so it must not be one that somebody else
// has put there.
func ownFolder() (string, error) {
	base := filepath.Join(os.TempDir(), fmt.Sprintf("fairgate-testpg-%d", os.Getuid()))
	if err := os.MkdirAll(base, 0o711); err != nil {
		return "", err
	}
	info, err := os.Lstat(base)
	if err != nil {
		return "", err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() || !info.IsDir() {
		return "", fmt.Errorf("%s is not a folder of ours: remove it", base)
	}
	return base, nil
}

func startIn(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	server, err := embedded.StartPostgres(ctx, embedded.PostgresConfig{
		Dir: dir,
		// Tests look at what is committed, not at what survives a power cut.
		Settings: map[string]string{"fsync": "off", "full_page_writes": "off", "max_connections": "300"},
	})
	if err != nil {
		return err
	}
	shared.server, shared.admin = server, server.URL("postgres")
	return nil
}

// sweep drops the databases of test processes that are gone.
func sweep(admin string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1)`, prefix)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		owner, _, _ := strings.Cut(strings.TrimPrefix(name, prefix), "_")
		pid, err := strconv.Atoi(owner)
		if err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}
