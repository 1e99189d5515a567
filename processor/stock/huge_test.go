package stock_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

func hugeHeap() (n int) {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var from, to uintptr
		var perm string
		if _, err := fmt.Sscanf(s.Text(), "%x-%x %s", &from, &to, &perm); err != nil || perm != "rw-p" {
			continue
		}
		if to-from < 4<<20 || strings.Contains(s.Text(), "/") {
			continue
		}
		_, _, e := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, 14)
		if e == 0 {
			n += int(to - from)
		}
		if os.Getenv("COLLAPSE") != "" {
			_, _, e = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, 25)
			if e != 0 {
				fmt.Println(e)
			}
		}
	}
	return n
}
