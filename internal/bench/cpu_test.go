package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ticksPerSecond is the unit of /proc/PID/stat, the same on every Linux.
const ticksPerSecond = 100

// spent is processor time: what a figure costs, whoever else uses the machine meanwhile.
type spent struct{ ours, brokers time.Duration }

func cpu(b *testing.B, pids []int) spent {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	s := spent{ours: time.Duration(u.Utime.Nano() + u.Stime.Nano())}
	for _, pid := range pids {
		s.brokers += processTime(b, pid)
	}
	return s
}

// processTime is user and system time of a process: fields 14 and 15, counted behind the name in brackets.
func processTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// per is microseconds of processor time for each of n.
func per(d time.Duration, n int64) float64 { return float64(d.Microseconds()) / float64(max(n, 1)) }
