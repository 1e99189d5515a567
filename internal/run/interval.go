package run

import (
	"context"
	"math/rand/v2"
	"time"
)

// Interval calls do in the caller's goroutine, who thereby owns the loop, until ctx ends: the first time after up to
// jitter, then every + up to jitter after the previous call returned. So calls never overlap, a slow one delays the
// next, and a fleet started at once spreads out. A non-positive every is a programming error and panics.
func Interval(ctx context.Context, every, jitter time.Duration, do func(context.Context)) {
	if every <= 0 {
		panic("run: Interval needs a positive duration")
	}
	timer := time.NewTimer(upTo(jitter))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if ctx.Err() != nil {
			return
		}
		do(ctx)
		timer.Reset(every + upTo(jitter))
	}
}

// upTo draws a duration in [0, limit).
func upTo(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}
