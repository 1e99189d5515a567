package huge

import (
	"syscall"
	"unsafe"
)

// advise asks for huge pages in place of what lies there, all of it zero. Memory that the runtime uses again has small
// pages already, which the kernel would keep: they are given back, and what is read there next is zero again, in a page
// of the size that was asked for. A kernel without huge pages refuses, which changes nothing.
func advise(b []byte) {
	page := syscall.Getpagesize()
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	if whole := (len(b) - skip) / page * page; whole > 0 {
		b = b[skip : skip+whole]
		if syscall.Madvise(b, syscall.MADV_HUGEPAGE) == nil {
			_ = syscall.Madvise(b, syscall.MADV_DONTNEED)
		}
	}
}
