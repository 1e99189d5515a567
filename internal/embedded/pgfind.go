package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNoPostgres: the programs of PostgreSQL were not found.
var ErrNoPostgres = errors.New("postgres is not installed: install the package postgresql (scripts/setup.sh demo does), " +
	"or configure the address of a running server")

// FindPostgres returns the folder of initdb and postgres that a new cluster
// would use, or ErrNoPostgres.
func FindPostgres() (string, error) { return findPostgres("", "") }

// findPostgres prefers bin if given, then the PATH, then where Debian and
// others put the newest; a cluster that exists in data needs its own major
// version.
func findPostgres(bin, data string) (string, error) {
	candidates := []string{bin}
	if bin == "" {
		candidates = knownFolders()
	}
	want, err := clusterVersion(data)
	if err != nil {
		return "", err
	}
	found := ""
	for _, dir := range candidates {
		if !isExecutable(filepath.Join(dir, "initdb")) || !isExecutable(filepath.Join(dir, "postgres")) {
			continue
		}
		if found == "" {
			found = dir
		}
		if want == "" || majorVersion(dir) == want {
			return dir, nil
		}
	}
	if found != "" {
		return "", fmt.Errorf("the cluster in %s was made by postgres %s, but %s has %s: install postgresql-%s, or remove the folder",
			data, want, found, majorVersion(found), want)
	}
	if bin != "" {
		return "", fmt.Errorf("%s holds no initdb and postgres: %w", bin, ErrNoPostgres)
	}
	return "", ErrNoPostgres
}

func knownFolders() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// The programs find their data files beside where they really are.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is valid
	slices.SortFunc(debian, func(a, b string) int { return debianVersion(b) - debianVersion(a) })
	dirs = append(dirs, debian...)
	return append(dirs, "/usr/local/pgsql/bin", "/opt/homebrew/bin")
}

// debianVersion of /usr/lib/postgresql/15/bin is 15.
func debianVersion(dir string) int {
	n, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	if err != nil {
		return 0
	}
	return n
}

// clusterVersion is the major version in data, "" if there is no cluster.
func clusterVersion(data string) (string, error) {
	if data == "" {
		return "", nil
	}
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the cluster's version: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// majorVersion asks "postgres (PostgreSQL) 15.18 (…)" for its 15.
func majorVersion(bin string) string {
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return ""
	}
	for word := range strings.FieldsSeq(string(out)) {
		if word[0] >= '0' && word[0] <= '9' {
			major, _, _ := strings.Cut(word, ".")
			return major
		}
	}
	return ""
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
