//go:build !linux

package roomtime

import "time"

// localClock is a clock in µs that nobody sets. It begins at wall time.
func localClock() func() int64 {
	begin := time.Now()
	return func() int64 { return begin.UnixMicro() + time.Since(begin).Microseconds() }
}
