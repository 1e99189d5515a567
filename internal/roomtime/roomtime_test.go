package roomtime

import (
	"testing"
	"time"
)

func TestHost_SingleHostIsItsOwnSource(t *testing.T) {
	h := New(true)
	before := time.Now().UnixMicro()
	now, bound := h.Now()
	if after := time.Now().UnixMicro(); now < before || now > after || bound != 0 || h.Source() != SourceSingleHost {
		t.Fatalf("got %d ± %d from %s between %d and %d", now, bound, h.Source(), before, after)
	}
}

func TestHost_UnsynchronisedKernelIsBeyondEveryLimit(t *testing.T) {
	h := New(false)
	h.kernel = func() (int64, string) { return Unbounded, SourceUnsynchronised }
	if _, bound := h.Now(); bound <= DefaultLimit || h.Source() != SourceUnsynchronised {
		t.Fatalf("bound %d from %s", bound, h.Source())
	}
	h.kernel = func() (int64, string) { return 1_200, SourceKernel }
	if _, bound := h.Now(); bound != 1_200 {
		t.Fatalf("the kernel's bound became %d", bound)
	}
}

func TestHost_KernelAnswersWithASourceAndAMatchingBound(t *testing.T) {
	bound, source := kernelBound()
	switch source {
	case SourceKernel:
		if bound < 0 || bound == Unbounded {
			t.Fatalf("synchronised with a bound of %d", bound)
		}
	case SourceUnsynchronised, SourceUnknown:
		if bound != Unbounded {
			t.Fatalf("%s with a bound of %d", source, bound)
		}
	default:
		t.Fatalf("source %q", source)
	}
}

func TestHost_NeverGoesBackAndOwnsUpToIt(t *testing.T) {
	at := time.UnixMicro(1_800_000_000_000_000)
	h := New(false)
	h.now = func() time.Time { return at }
	h.kernel = func() (int64, string) { return 1_000, SourceKernel }
	first, _ := h.Now()
	at = at.Add(-300 * time.Millisecond)
	if now, bound := h.Now(); now != first || bound != 301_000 {
		t.Errorf("set back by 300 ms: %d ± %d after %d", now, bound, first)
	}
	at = at.Add(200 * time.Millisecond)
	if now, bound := h.Now(); now != first || bound != 101_000 {
		t.Errorf("200 ms later: %d ± %d", now, bound)
	}
	at = at.Add(200 * time.Millisecond)
	if now, bound := h.Now(); now != first+100_000 || bound != 1_000 {
		t.Errorf("caught up: %d ± %d", now, bound)
	}
}
