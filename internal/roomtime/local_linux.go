package roomtime

import (
	"time"

	"golang.org/x/sys/unix"
)

// localClock is a clock in µs that nobody sets and that goes on while the host is suspended. It begins at wall time.
func localClock() func() int64 {
	var since unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &since) != nil {
		begin := time.Now()
		return func() int64 { return begin.UnixMicro() + time.Since(begin).Microseconds() }
	}
	base := time.Now().UnixMicro() - since.Nano()/1000
	return func() int64 {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // it did not fail before
		return base + t.Nano()/1000
	}
}
