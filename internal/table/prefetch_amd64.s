#include "textflag.h"

// func Prefetch(line *int64)
TEXT ·Prefetch(SB), NOSPLIT, $0-8
	MOVQ line+0(FP), AX
	PREFETCHT0 (AX)
	RET

// func prefetchSlot(slot *uint64)
TEXT ·prefetchSlot(SB), NOSPLIT, $0-8
	MOVQ slot+0(FP), AX
	PREFETCHT0 (AX)
	RET

// func prefetchEntry(entry *int32)
TEXT ·prefetchEntry(SB), NOSPLIT, $0-8
	MOVQ entry+0(FP), AX
	PREFETCHT0 (AX)
	RET
