package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pgRole is the superuser of the cluster.
	pgRole = "fairgate"
	// pgReady bounds a start, crash recovery included, if ctx has no deadline.
	pgReady = 60 * time.Second
	// pgStop bounds each step of a stop: fast, immediate, kill.
	pgStop = 10 * time.Second
	// pgTries is how often a start is tried: the free port may be taken in
	// between, or backends of a killed server may still be leaving.
	pgTries = 5
	// pgLogMax is the size at which the server's log is set aside at a start.
	pgLogMax = 10 << 20
)

// PostgresConfig says where and how the child runs.
type PostgresConfig struct {
	// Dir is the folder of cluster, password and log; made if missing. If
	// this process is root it is handed to User.
	Dir string
	// Addr is host:port on a loopback interface; port 0 or "" for a free one.
	Addr string
	// User is the unprivileged account that the server runs as when this
	// process is root; default "postgres", which Debian's package makes.
	User string
	// BinDir holds initdb and postgres; default: found.
	BinDir string
	// Databases are created if missing.
	Databases []string
	// Settings are server parameters, over the defaults of this package.
	Settings map[string]string
	// Log may be nil.
	Log *slog.Logger
}

// Postgres is a running child server.
type Postgres struct {
	addr     string
	password string
	folder   *pgFolder
	cmd      *exec.Cmd
	exited   chan struct{} // closed by supervise when the child is gone
}

// StartPostgres makes the cluster if there is none, ends a server that a
// killed parent left behind in Dir, starts a new one and returns when it
// answers and the databases exist. The server leads its own process group, so
// Ctrl-C does not reach it, and is told to stop when this process dies.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	p, err := startPostgres(ctx, cfg, supervised)
	if err != nil {
		return nil, fmt.Errorf("embedded postgres: %w", err)
	}
	return p, nil
}

type bond bool

const (
	supervised bond = true  // the child stops when this process dies
	orphanable bond = false // it does not, as where the kernel cannot tell it
)

func startPostgres(ctx context.Context, cfg PostgresConfig, b bond) (*Postgres, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Addr == "" {
		cfg.Addr = loopback
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, pgReady)
		defer cancel()
	}
	folder, err := openFolder(cfg)
	if err != nil {
		return nil, err
	}
	p, err := folder.start(ctx, cfg, b)
	if err != nil {
		return nil, errors.Join(err, folder.release())
	}
	if err := p.prepare(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// start brings the server up over what the last one left.
func (f *pgFolder) start(ctx context.Context, cfg PostgresConfig, b bond) (*Postgres, error) {
	if err := f.endLeftover(ctx, cfg.Log); err != nil {
		return nil, err
	}
	if err := f.initialise(ctx); err != nil {
		return nil, err
	}
	password, err := os.ReadFile(filepath.Join(f.dir, pgPasswordFile))
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's password: %w", err)
	}
	var last error
	for range pgTries {
		p, err := f.launch(cfg, strings.TrimSpace(string(password)), b)
		if err != nil {
			return nil, err
		}
		if last = p.awaitReady(ctx); last == nil {
			return p, nil
		}
		stopErr := p.end()
		if ctx.Err() != nil || stopErr != nil {
			return nil, errors.Join(last, stopErr, f.logTail())
		}
		sleepFor(ctx, 300*time.Millisecond)
	}
	return nil, errors.Join(last, f.logTail())
}

// launch starts one server process.
func (f *pgFolder) launch(cfg PostgresConfig, password string, b bond) (*Postgres, error) {
	ln, err := listen("embedded postgres", cfg.Addr)
	if err != nil {
		return nil, err
	}
	addr := ln.Addr().String()
	ln.Close()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	settings := map[string]string{
		"listen_addresses":        host,
		"port":                    port,
		"unix_socket_directories": "",
		"max_connections":         "200",
		"shared_buffers":          "128MB",
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"jit":                     "off",
	}
	maps.Copy(settings, cfg.Settings)
	args := []string{"-D", f.childPath(pgDataFolder)}
	for _, k := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", k+"="+settings[k])
	}
	log, err := f.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := f.command(context.Background(), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if b == supervised {
		stopWithParent(cmd.SysProcAttr, syscall.SIGINT)
	}
	p := &Postgres{addr: addr, password: password, folder: f, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go p.supervise(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return p, nil
}

// supervise starts the child and waits for it on one operating system thread:
// the kernel tells the child when the thread that started it ends, and only
// this way that is when the process does.
func (p *Postgres) supervise(started chan<- error) {
	defer close(p.exited)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // Done and ProcessState tell
	}
}

// awaitReady returns when the server answers a query.
func (p *Postgres) awaitReady(ctx context.Context) error {
	for {
		err := p.ask(ctx, "postgres", func(*pgx.Conn) error { return nil })
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("server ended at start (%s)", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("server is not ready: %w (last: %w)", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *Postgres) ask(ctx context.Context, db string, f func(*pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL(db))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return f(conn)
}

// prepare creates the databases and makes sure that the extensions which our
// migrations use can be created.
func (p *Postgres) prepare(ctx context.Context, cfg PostgresConfig) error {
	return p.ask(ctx, "postgres", func(conn *pgx.Conn) error {
		var n int
		const extensions = `SELECT count(*) FROM pg_available_extensions WHERE name IN ('unaccent', 'pg_trgm')`
		if err := conn.QueryRow(ctx, extensions).Scan(&n); err != nil {
			return fmt.Errorf("looking for extensions: %w", err)
		}
		if n != 2 {
			return errors.New("extensions unaccent and pg_trgm are missing: install postgresql-contrib")
		}
		for _, db := range cfg.Databases {
			var exists bool
			if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, db).Scan(&exists); err != nil {
				return fmt.Errorf("looking for database %s: %w", db, err)
			}
			if exists {
				continue
			}
			if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{db}.Sanitize()); err != nil {
				return fmt.Errorf("creating database %s: %w", db, err)
			}
		}
		return nil
	})
}

// Addr is host:port.
func (p *Postgres) Addr() string { return p.addr }

// URL connects to database db as the cluster's superuser. It holds the
// password: never log it.
func (p *Postgres) URL(db string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(pgRole, p.password), Host: p.addr, Path: "/" + db,
		RawQuery: "sslmode=disable"}
	return u.String()
}

// Done is closed when the server is gone, by Stop or by itself.
func (p *Postgres) Done() <-chan struct{} { return p.exited }

// Pid is the process id of the server.
func (p *Postgres) Pid() int { return p.cmd.Process.Pid }

// Stop disconnects clients, lets the server write a checkpoint and waits
// until it is gone. Nothing committed is lost even if it has to be killed.
func (p *Postgres) Stop() error {
	return errors.Join(p.end(), p.folder.release())
}

func (p *Postgres) end() error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		select {
		case <-p.exited:
			return nil
		default:
		}
		if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stopping postgres: %w", err)
		}
		select {
		case <-p.exited:
			return nil
		case <-time.After(pgStop):
		}
	}
	return errors.New("postgres did not stop")
}

func sleepFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// newPassword is 128 random bits, printable.
func newPassword() string { return rand.Text() }
