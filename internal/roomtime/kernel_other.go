//go:build !linux

package roomtime

// kernelBound knows no estimate here.
func kernelBound() (bound int64, source string) { return Unbounded, SourceUnknown }
