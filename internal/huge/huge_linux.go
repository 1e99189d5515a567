package huge

import (
	"syscall"
	"unsafe"
)

// advise asks for huge pages. A kernel without them refuses, which changes nothing.
func advise(b []byte) {
	page := syscall.Getpagesize()
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	if whole := (len(b) - skip) / page * page; whole > 0 {
		_ = syscall.Madvise(b[skip:skip+whole], syscall.MADV_HUGEPAGE)
	}
}
