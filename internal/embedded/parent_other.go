//go:build !linux

package embedded

import "syscall"

// stopWithParent can do nothing here: a server that is left over is stopped
// at the next start.
func stopWithParent(*syscall.SysProcAttr, syscall.Signal) {}
