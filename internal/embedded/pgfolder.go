package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	pgDataFolder   = "data"
	pgHalfFolder   = "data.new"
	pgPasswordFile = "password"
	pgLogFile      = "postgres.log"
	// pgFolderFD is the folder's descriptor in children, after the standard
	// three.
	pgFolderFD = 3
)

// pgFolder is the locked home of one cluster:
//
//	lock          held by the process that runs it
//	password      of the superuser, mode 0600
//	data/         the cluster; data.new/ while it is being made
//	postgres.log  what the server has to say
type pgFolder struct {
	dir     string
	bin     string
	account *account // nil: children run as this process does
	lock    *os.File
	home    *os.File // dir itself, for children that cannot reach its path
	hidden  bool     // the account cannot reach dir by its path
}

type account struct {
	name     string
	uid, gid uint32
}

func openFolder(cfg PostgresConfig) (*pgFolder, error) {
	if cfg.Dir == "" {
		return nil, errors.New("no folder configured")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	f := &pgFolder{dir: dir}
	if f.account, err = serverAccount(cfg.User); err != nil {
		return nil, err
	}
	if f.bin, err = findPostgres(cfg.BinDir, filepath.Join(dir, pgDataFolder)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if f.lock, err = lockFolder(dir); err != nil {
		return nil, err
	}
	if f.home, err = os.Open(dir); err == nil {
		err = f.handOver()
	}
	if err != nil {
		return nil, errors.Join(err, f.release())
	}
	return f, nil
}

// release lets another process have the folder.
func (f *pgFolder) release() error {
	var err error
	if f.home != nil {
		err = f.home.Close()
	}
	return errors.Join(err, f.lock.Close())
}

// serverAccount is whom the server runs as: it refuses to be root.
func serverAccount(name string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if name == "" {
		name = "postgres"
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("postgres refuses to run as root and there is no user %q to run it as: "+
			"install the package postgresql, or configure another user: %w", name, err)
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil || uid == 0 {
		return nil, fmt.Errorf("user %q cannot run postgres (uid %s)", name, u.Uid)
	}
	return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
}

// handOver gives the folder to the account, with all that an earlier start as
// somebody else left in it, and finds out whether the account can get there.
func (f *pgFolder) handOver() error {
	if f.account == nil {
		return nil
	}
	give := func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			err = os.Lchown(path, int(f.account.uid), int(f.account.gid))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	err := errors.Join(give(f.dir, nil, nil), give(filepath.Join(f.dir, pgPasswordFile), nil, nil))
	if info, statErr := os.Stat(filepath.Join(f.dir, pgDataFolder)); statErr == nil {
		// A cluster that is the account's already is left alone.
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != f.account.uid {
			err = errors.Join(err, filepath.WalkDir(filepath.Join(f.dir, pgDataFolder), give))
		}
	}
	if err != nil {
		return fmt.Errorf("giving %s to user %s: %w", f.dir, f.account.name, err)
	}
	f.hidden = f.probe() != nil
	return nil
}

// probe asks the kernel whether the account can enter the folder by its path.
func (f *pgFolder) probe() error {
	cmd := exec.Command("/bin/sh", "-c", `cd -- "$1"`, "sh", f.dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: f.credential()}
	return cmd.Run()
}

func (f *pgFolder) credential() *syscall.Credential {
	if f.account == nil {
		return nil
	}
	return &syscall.Credential{Uid: f.account.uid, Gid: f.account.gid}
}

// childPath names a file of the folder for a child. Where the account cannot
// pass a parent folder (a checkout below /root), the child reaches it through
// the descriptor it inherits.
func (f *pgFolder) childPath(name string) string {
	if f.hidden {
		return filepath.Join("/proc/self/fd", strconv.Itoa(pgFolderFD), name)
	}
	return filepath.Join(f.dir, name)
}

// command prepares a program of PostgreSQL's, unprivileged, out of reach of
// the terminal, with no environment that could steer it elsewhere.
func (f *pgFolder) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(f.bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + f.bin + ":/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: f.credential(), Setpgid: true}
	cmd.ExtraFiles = []*os.File{f.home}
	return cmd
}

// initialise makes the cluster, once: beside its place and then renamed, so
// that a crash leaves either none or a whole one.
func (f *pgFolder) initialise(ctx context.Context) error {
	data, half := filepath.Join(f.dir, pgDataFolder), filepath.Join(f.dir, pgHalfFolder)
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	if err := removeHalf(ctx, half); err != nil {
		return fmt.Errorf("removing a half-made cluster: %w", err)
	}
	password := filepath.Join(f.dir, pgPasswordFile)
	if err := os.WriteFile(password, []byte(newPassword()+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing password: %w", err)
	}
	if f.account != nil {
		if err := os.Chown(password, int(f.account.uid), int(f.account.gid)); err != nil {
			return fmt.Errorf("writing password: %w", err)
		}
	}
	cmd := f.command(ctx, "initdb", "-D", f.childPath(pgHalfFolder), "-U", pgRole,
		"--pwfile", f.childPath(pgPasswordFile), "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	stopWithParent(cmd.SysProcAttr, syscall.SIGKILL)
	runtime.LockOSThread() // the thread that starts a child must outlive it: see supervise
	out, err := cmd.CombinedOutput()
	runtime.UnlockOSThread()
	if err != nil {
		hint := ""
		if f.account != nil {
			hint = fmt.Sprintf(" (as user %s, who must be able to enter %s)", f.account.name, f.dir)
		}
		return fmt.Errorf("initdb%s: %w: %s", hint, err, lastLines(string(out), 5))
	}
	if err := os.Rename(half, data); err != nil {
		return fmt.Errorf("putting the new cluster in place: %w", err)
	}
	return nil
}

// removeHalf removes what an initdb left that was killed with its parent. Its
// own child may still be writing there for a moment.
func removeHalf(ctx context.Context, half string) error {
	for end := time.Now().Add(pgStop); ; sleepFor(ctx, 20*time.Millisecond) {
		err := os.RemoveAll(half)
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
}

// openLog opens the server's log, setting a large one aside.
func (f *pgFolder) openLog() (*os.File, error) {
	path := filepath.Join(f.dir, pgLogFile)
	if info, err := os.Stat(path); err == nil && info.Size() > pgLogMax {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("setting the old log aside: %w", err)
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// logTail is an error that carries the server's last words.
func (f *pgFolder) logTail() error {
	path := filepath.Join(f.dir, pgLogFile)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("no log either: %w", err)
	}
	return fmt.Errorf("%s ends with: %s", path, lastLines(string(text), 5))
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// endLeftover stops a server that outlived the process which started it. We
// hold the folder's lock, so that process is gone.
func (f *pgFolder) endLeftover(ctx context.Context, log *slog.Logger) error {
	pid := f.leftover()
	if pid == 0 {
		return nil
	}
	log.Info("stopping the postgres that an earlier run left behind", slog.Int("pid", pid))
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping left-over postgres %d: %w", pid, err)
		}
		for end := time.Now().Add(pgStop); time.Now().Before(end); {
			if f.leftover() != pid {
				return nil
			}
			if ctx.Err() != nil {
				return fmt.Errorf("stopping left-over postgres %d: %w", pid, ctx.Err())
			}
			sleepFor(ctx, 10*time.Millisecond)
		}
	}
	return fmt.Errorf("left-over postgres %d does not stop: end it by hand", pid)
}

// leftover returns the pid in postmaster.pid if it is a postgres at work in
// this very data folder, else 0: the number may long be somebody else's.
func (f *pgFolder) leftover() int {
	data := filepath.Join(f.dir, pgDataFolder)
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	if err != nil || !strings.HasPrefix(filepath.Base(exe), "postgres") {
		return 0
	}
	at, err := os.Stat(filepath.Join(proc, "cwd"))
	home, errHome := os.Stat(data)
	if err != nil || errHome != nil || !os.SameFile(at, home) {
		return 0
	}
	return pid
}
