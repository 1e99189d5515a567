#include "textflag.h"

// func Prefetch(line *int64)
TEXT ·Prefetch(SB), NOSPLIT, $0-8
	MOVD line+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET

// func prefetchSlot(slot *uint64)
TEXT ·prefetchSlot(SB), NOSPLIT, $0-8
	MOVD slot+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET

// func prefetchEntry(entry *int32)
TEXT ·prefetchEntry(SB), NOSPLIT, $0-8
	MOVD entry+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET
