package embedded

import "syscall"

// stopWithParent has the kernel send sig to the child when the thread that
// started it ends.
func stopWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
