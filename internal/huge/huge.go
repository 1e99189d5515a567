// Package huge makes memory for tables that are far larger than the caches. It touches nothing but that memory: what it
// asks of the kernel has no effect but on time.
//
// A table of a million entries is read at random places. With pages of 4 KiB nearly every read misses the processor's
// memory of page addresses too, and on a virtual machine finding one again costs more than the read. Pages of 2 MiB
// spare that: reads at random places of 1 GiB took 27 ns each with small pages and 14 ns with huge ones (BenchmarkRead:
// independent reads, on a virtual Xeon of 2023). Linux gives them to those who ask where transparent_hugepage is "madvise", to
// everybody where it is "always", and to nobody where it is "never".
package huge

import "unsafe"

// Extent is how many bytes a table that grows should make at once: enough for the parts at both ends that are no whole
// huge page not to matter. Pages that were not written to yet take no memory.
const Extent = 32 << 20

// Make is make([]T, n), in huge pages as far as the kernel gives them. It is for large n: see Extent.
func Make[T any](n int) []T {
	s := make([]T, n)
	if n > 0 {
		// Not written to yet: the allocator takes memory of this size fresh from the kernel, or clears it now.
		advise(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), n*int(unsafe.Sizeof(s[0]))))
	}
	return s
}

// PerExtent is how many Ts fit into an Extent, in whole lots of so many; one lot at least.
func PerExtent[T any](lot int) int {
	var zero T
	return max(1, Extent/max(1, int(unsafe.Sizeof(zero)))/lot) * lot
}
