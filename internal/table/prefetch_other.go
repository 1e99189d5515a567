//go:build !amd64 && !arm64

package table

// Prefetch does nothing on this processor.
func Prefetch(*int64) {}

func prefetchSlot(*uint64) {}

func prefetchEntry(*int32) {}
