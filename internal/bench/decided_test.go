package bench

import (
	"os"
	"strconv"
	"testing"
	"time"
)

func callers() int { return env("FAIRGATE_BENCH_CALLERS", 8_000) }

func env(name string, def int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return def
}

func BenchmarkKafka_Decided1(b *testing.B) { decided(b, 1) }
func BenchmarkKafka_Decided3(b *testing.B) { decided(b, 3) }

func decided(b *testing.B, brokers int) {
	k := startKafka(b, brokers)
	length := time.Duration(env("FAIRGATE_BENCH_SECONDS", 4)) * time.Second
	b.Logf("warm   %v", k.turn(byEngine, callers(), 0, time.Duration(env("FAIRGATE_BENCH_WARM", 5))*time.Second))
	for range 2 {
		b.Logf("engine %v", k.turn(byEngine, callers(), time.Second, length))
		b.Logf("relay  %v", k.turn(byRelay, callers(), time.Second, length))
	}
}
