// Package testnginx gives tests a real nginx, because what a proxy makes of a configuration or of cache headers is the
// proxy's. Without the program it skips the test, or fails it where CI=true.
package testnginx

import (
	"errors"
	"os"
	"testing"

	"fairgate/internal/embedded"
)

// Start runs nginx with the contents of http { … }, which must listen on addr, until the test ends.
func Start(t testing.TB, addr, http string) *embedded.Nginx {
	t.Helper()
	n, err := embedded.StartNginx(t.TempDir(), addr, "", http)
	if errors.Is(err, embedded.ErrNoNginx) {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("nginx said last:\n%s", n.Said())
		}
		_ = n.Close()
	})
	return n
}
