// Package embedded brings the engines that a sale needs when no others are
// configured: Kafka and Redis inside this process, PostgreSQL as a child of
// it. It may open loopback ports, write below the folders it is given and
// start one child process; the rest of the program reaches the engines over
// the same protocols and clients as in production.
//
// One folder belongs to one process at a time, held by a lock that dies with
// it.
package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse: another process has the folder.
var ErrInUse = errors.New("folder is in use by another process")

// loopback is where engines listen if no address is given: a free port.
const loopback = "127.0.0.1:0"

// lockFolder holds dir for this process. Closing the file, or dying, releases
// it; children do not inherit it.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w: stop that process or choose another folder", dir, ErrInUse)
	}
	return f, nil
}

// listen is net.Listen with an error that says what to do.
func listen(engine, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s: %s is in use by another program: stop it or configure another address (port 0 takes a free one): %w",
			engine, addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: listening on %s: %w", engine, addr, err)
	}
	return ln, nil
}
