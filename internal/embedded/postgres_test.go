package embedded

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 60 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func needPostgres(t *testing.T) {
	t.Helper()
	if _, err := FindPostgres(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func startPG(t *testing.T, cfg PostgresConfig, b bond) *Postgres {
	t.Helper()
	if cfg.Databases == nil {
		cfg.Databases = []string{"sale"}
	}
	p, err := startPostgres(within(t), cfg, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.end() })
	return p
}

// scalar runs statements and returns the first column of the last one's row.
func scalar(t *testing.T, p *Postgres, statements ...string) string {
	t.Helper()
	var out string
	err := p.ask(within(t), "sale", func(conn *pgx.Conn) error {
		for _, s := range statements[:len(statements)-1] {
			if _, err := conn.Exec(within(t), s); err != nil {
				return err
			}
		}
		return conn.QueryRow(within(t), statements[len(statements)-1]).Scan(&out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPostgres_KeepsDataOverARestart(t *testing.T) {
	needPostgres(t)
	cfg := PostgresConfig{Dir: filepath.Join(t.TempDir(), "pg")}
	p := startPG(t, cfg, supervised)
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "password_encryption": "scram-sha-256"} {
		if got := scalar(t, p, "SHOW "+setting); got != want {
			t.Errorf("%s is %s", setting, got)
		}
	}
	found := scalar(t, p, `CREATE EXTENSION unaccent`, `CREATE EXTENSION pg_trgm`,
		`SELECT (to_tsvector('simple', unaccent('Hà Nội ĐÊM')) @@ to_tsquery('simple', 'noi & dem'))::text`)
	if found != "true" {
		t.Error("accents are not ignored")
	}
	scalar(t, p, `CREATE TABLE kept (v text)`, `INSERT INTO kept VALUES ('seat')`, `SELECT v FROM kept`)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	default:
		t.Fatal("stopped, and not done")
	}
	p = startPG(t, cfg, supervised)
	if got := scalar(t, p, `SELECT v FROM kept`); got != "seat" {
		t.Fatal(got)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestPostgres_PasswordIsNeededAndPrivate(t *testing.T) {
	needPostgres(t)
	dir := filepath.Join(t.TempDir(), "pg")
	p := startPG(t, PostgresConfig{Dir: dir}, supervised)
	defer p.Stop()
	info, err := os.Stat(filepath.Join(dir, pgPasswordFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	url := strings.Replace(p.URL("sale"), p.password, "wrong", 1)
	if _, err := pgx.Connect(within(t), url); err == nil || !strings.Contains(err.Error(), "password") {
		t.Fatalf("a wrong password: %v", err)
	}
	log, err := os.ReadFile(filepath.Join(dir, pgLogFile))
	if err != nil || !strings.Contains(string(log), "ready to accept connections") {
		t.Fatalf("log: %v %s", err, log)
	}
	if strings.Contains(string(log), p.password) {
		t.Fatal("the password is in the log")
	}
}

// TestPostgres_LeftoverOfAKilledParentIsReplaced abandons a server as a
// SIGKILLed parent does where the kernel cannot tell the child: the server
// runs on, the lock is gone.
func TestPostgres_LeftoverOfAKilledParentIsReplaced(t *testing.T) {
	needPostgres(t)
	cfg := PostgresConfig{Dir: filepath.Join(t.TempDir(), "pg")}
	old := startPG(t, cfg, orphanable)
	scalar(t, old, `CREATE TABLE kept (v text)`, `INSERT INTO kept VALUES ('seat')`, `SELECT v FROM kept`)
	if err := old.folder.release(); err != nil {
		t.Fatal(err)
	}
	p := startPG(t, cfg, supervised)
	defer p.Stop()
	select {
	case <-old.Done():
	default:
		t.Fatal("the left-over server still runs")
	}
	if got := scalar(t, p, `SELECT v FROM kept`); got != "seat" {
		t.Fatal(got)
	}
}

func TestPostgres_StrangersPidIsLeftAlone(t *testing.T) {
	needPostgres(t)
	dir := filepath.Join(t.TempDir(), "pg")
	cfg := PostgresConfig{Dir: dir}
	if err := startPG(t, cfg, supervised).Stop(); err != nil {
		t.Fatal(err)
	}
	other := startPG(t, PostgresConfig{Dir: filepath.Join(t.TempDir(), "other")}, supervised)
	defer other.Stop()
	for _, stranger := range []int{os.Getpid(), other.Pid(), 1, 0, -1} {
		pidFile := filepath.Join(dir, pgDataFolder, "postmaster.pid")
		if err := os.WriteFile(pidFile, []byte(strconv.Itoa(stranger)+"\n/elsewhere\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		f := &pgFolder{dir: dir}
		if pid := f.leftover(); pid != 0 {
			t.Fatalf("pid %d was taken for ours", pid)
		}
	}
}

func TestPostgres_SurvivesItsOwnKill(t *testing.T) {
	needPostgres(t)
	cfg := PostgresConfig{Dir: filepath.Join(t.TempDir(), "pg")}
	p := startPG(t, cfg, supervised)
	scalar(t, p, `CREATE TABLE kept (v text)`, `INSERT INTO kept VALUES ('seat')`, `SELECT v FROM kept`)
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = startPG(t, cfg, supervised)
	defer p.Stop()
	if got := scalar(t, p, `SELECT v FROM kept`); got != "seat" {
		t.Fatal(got)
	}
}

func TestPostgres_FolderIsForOneProcess(t *testing.T) {
	needPostgres(t)
	cfg := PostgresConfig{Dir: filepath.Join(t.TempDir(), "pg")}
	p := startPG(t, cfg, supervised)
	defer p.Stop()
	if _, err := StartPostgres(within(t), cfg); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
}

func TestPostgres_IsOutOfReachOfTheTerminal(t *testing.T) {
	needPostgres(t)
	p := startPG(t, PostgresConfig{Dir: filepath.Join(t.TempDir(), "pg")}, supervised)
	defer p.Stop()
	group, err := syscall.Getpgid(p.Pid())
	if err != nil || group != p.Pid() {
		t.Fatalf("group %d, %v", group, err)
	}
}

// TestPostgres_BelowAFolderItsUserCannotEnter is a checkout below /root.
func TestPostgres_BelowAFolderItsUserCannotEnter(t *testing.T) {
	needPostgres(t)
	if os.Geteuid() != 0 {
		t.Skip("only root has another user run the server")
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := PostgresConfig{Dir: filepath.Join(closed, "deeper", "pg")}
	p := startPG(t, cfg, orphanable)
	if !p.folder.hidden {
		t.Fatal("the folder was expected to be out of the user's reach")
	}
	scalar(t, p, `CREATE TABLE kept (v text)`, `INSERT INTO kept VALUES ('seat')`, `CHECKPOINT`, `SELECT v FROM kept`)
	if err := p.folder.release(); err != nil {
		t.Fatal(err)
	}
	p = startPG(t, cfg, supervised)
	defer p.Stop()
	if got := scalar(t, p, `SELECT v FROM kept`); got != "seat" {
		t.Fatal(got)
	}
}

func TestPostgres_SaysWhatIsWrong(t *testing.T) {
	needPostgres(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	for want, cfg := range map[string]PostgresConfig{
		"no folder":                 {},
		"holds no initdb":           {Dir: filepath.Join(dir, "a"), BinDir: dir},
		"in use by another program": {Dir: filepath.Join(dir, "b"), Addr: ln.Addr().String()},
		"no_such_setting":           {Dir: filepath.Join(dir, "b"), Settings: map[string]string{"no_such_setting": "1"}},
	} {
		_, err := StartPostgres(within(t), cfg)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want mention of %q", cfg, err, want)
		}
	}
}

func TestFindPostgres_ClusterNeedsItsOwnVersion(t *testing.T) {
	needPostgres(t)
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := findPostgres("", data); err == nil || !strings.Contains(err.Error(), "postgres 9") {
		t.Fatal(err)
	}
}
