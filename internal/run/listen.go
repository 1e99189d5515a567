package run

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strconv"
	"syscall"
)

// CheckAddress says what is wrong with an address to listen on before anybody listens. Port 0 means any free one.
func CheckAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("expected host:port with a port from 0 to 65535, got %q", address)
	}
	return nil
}

// Listen opens a TCP listener on address (host:port). key is the configuration key the address came from: an error
// says which address it was, what is wrong with it and which key to change.
func Listen(address, key string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: the port is already in use; stop what uses it or set %s to another: %w",
			address, key, err)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("listen on %s: not allowed (ports below 1024 need a privilege); set %s to another: %w",
			address, key, err)
	default:
		return nil, fmt.Errorf("listen on %q: expected a local host:port in %s: %w", address, key, err)
	}
}
