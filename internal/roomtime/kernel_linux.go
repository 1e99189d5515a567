package roomtime

import "golang.org/x/sys/unix"

const (
	// timeError is the state TIME_ERROR of adjtimex(2): the clock is not synchronised.
	timeError = 5
	// staUnsync is the status bit STA_UNSYNC.
	staUnsync = 0x40
)

// kernelBound is the kernel's maximum error (adjtimex(2)): it grows by 500 µs every second since the clock was last
// disciplined, and is meaningless once the kernel calls the clock unsynchronised.
func kernelBound() (bound int64, source string) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return Unbounded, SourceUnknown
	}
	if state == timeError || t.Status&staUnsync != 0 {
		return Unbounded, SourceUnsynchronised
	}
	return int64(t.Maxerror), SourceKernel
}
