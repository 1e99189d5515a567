//go:build amd64 || arm64

package table

// Prefetch asks for the cache line of an address, without waiting for it. A table of a million entries is far larger
// than the caches, and a miss costs more than deciding a command: what is asked for a few commands ahead is there when it
// is needed. It has no effect but on time.
//
//go:noescape
func Prefetch(line *int64)

//go:noescape
func prefetchSlot(slot *uint64)

//go:noescape
func prefetchEntry(entry *int32)

// PrefetchInt32 is Prefetch for a table of smaller entries.
func PrefetchInt32(entry *int32) { prefetchEntry(entry) }

// PrefetchUint64 is Prefetch for what is not signed.
func PrefetchUint64(entry *uint64) { prefetchSlot(entry) }
