//go:build !amd64 && !arm64

package table

// Prefetch does nothing on this processor.
func Prefetch(*int64) {}

func prefetchSlot(*uint64) {}

func prefetchEntry(*int32) {}

// PrefetchInt32 does nothing on this processor.
func PrefetchInt32(*int32) {}

// PrefetchUint64 does nothing on this processor.
func PrefetchUint64(*uint64) {}
